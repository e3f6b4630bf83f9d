"""The internal routes of the media service."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.contracts.internal import InternalRequest
from libs.contracts.media import MediaDocument

MEDIA_A_CALL = 100
StatusName = Literal["processing", "ready", "failed"]


class MediaRequest(InternalRequest):
    """Asks for media. `profile_of` is the user whose profile will show them: the service then keeps those."""

    media_ids: list[int] = Field(max_length=MEDIA_A_CALL)
    profile_of: int | None = None


class MediaRecord(BaseModel):
    """An upload and its state. `document` is set when it is ready."""

    model_config = ConfigDict(frozen=True)

    media_id: int
    owner_id: int
    status: StatusName
    reason: str | None
    document: MediaDocument | None


class MediaAnswers(BaseModel):
    """Known media, in any order."""

    media: list[MediaRecord]


class MediaStored(BaseModel):
    """The id under which the service took the file."""

    media_id: int
    status: StatusName
