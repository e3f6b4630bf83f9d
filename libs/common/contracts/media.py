"""What every deployable knows of a piece of media."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.common.contracts.base import Id

VARIANTS = ("thumbnail", "small", "medium", "large", "original")


class Dimensions(BaseModel):
    """Pixels of the original, upright."""

    model_config = ConfigDict(frozen=True)

    width: int = Field(ge=1)
    height: int = Field(ge=1)


class MediaDocument(BaseModel):
    """A processed upload. `paths`: variant → `{prefix}/{user_id}/{media_id}/{file}` below the gateway's media root."""

    model_config = ConfigDict(frozen=True)

    media_id: Id
    owner_id: Id
    type: Literal["image"] = "image"
    paths: dict[str, str]
    dimensions: Dimensions
    placeholder: str
    dominant_color: str
