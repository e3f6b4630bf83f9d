"""What every deployable knows of a piece of media."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.common.contracts.base import Id

VARIANTS = ("thumbnail", "small", "medium", "large", "original")

FAILURE_REASONS = {
    "not_an_image": "the file is no JPEG, PNG or WebP",
    "too_many_pixels": "the picture has more than 50 megapixels",
    "too_complex": "the picture takes too much time or memory to decode",
    "corrupt": "the file is damaged or cut short",
    "too_many_waiting": "too many pictures of this account wait to be processed: upload it again later",
    "processing_failed": "processing failed through no fault of the picture: upload it again",
}
"""Why an upload failed, by the code in `media.failed`, and what it means."""


class Dimensions(BaseModel):
    """Pixels of the original, upright."""

    model_config = ConfigDict(frozen=True)

    width: int = Field(ge=1)
    height: int = Field(ge=1)


class MediaDocument(BaseModel):
    """A processed upload.

    `paths`: variant → `{prefix}/{user_id}/{media_id}/{secret}/{file}` below the gateway's media root.
    """

    model_config = ConfigDict(frozen=True)

    media_id: Id
    owner_id: Id
    type: Literal["image"] = "image"
    paths: dict[str, str]
    dimensions: Dimensions
    placeholder: str
    dominant_color: str
