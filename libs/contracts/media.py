"""The description of an upload that deployables share."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from libs.contracts.base import Id
from libs.contracts.failures import FailureReason

VARIANTS = ("thumbnail", "small", "medium", "large", "original")


class MayFail(BaseModel):
    """Base of responses that may give the reason of a failed upload."""

    reason: FailureReason | None = Field(
        default=None, description="\n".join(f"- `{reason}`: {reason.sentence}" for reason in FailureReason)
    )
    detail: str | None = Field(default=None, description="a sentence for the reason")

    @model_validator(mode="after")
    def _explained(self) -> Self:
        self.detail = self.reason and self.reason.sentence
        return self


class Dimensions(BaseModel):
    """Size of the original in pixels, after rotation."""

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
