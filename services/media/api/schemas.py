"""Requests and responses of the media service."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from libs.common.web.validation import RequestBody
from libs.contracts.base import Id, Timestamp
from libs.contracts.internal.media import StatusName
from libs.contracts.media import Dimensions, MayFail
from libs.contracts.public import Media
from libs.media.image_types import ACCEPTED, canonical_type
from libs.media.paths import new_secret
from services.media.domain import StoredMedia, Upload
from services.media.service.library import Ticket


class UploadRequest(RequestBody):
    """An image to upload."""

    model_config = ConfigDict(strict=True)

    content_type: Annotated[str, Field(max_length=100, examples=list(ACCEPTED)), AfterValidator(canonical_type)]
    file_size: int = Field(ge=1, description="size in bytes; an image can have at most 10 MiB")
    purpose: Literal["post", "avatar"] = Field(default="post", description="checked; nothing depends on it")

    def upload(self, upload_id: int, owner_id: int) -> Upload:
        return Upload(upload_id, owner_id, self.content_type, self.file_size, new_secret())


class UploadTicket(BaseModel):
    """How to send the bytes, and until when.

    Fields:
        method: PUT has the bytes as its body. POST is a form (multipart/form-data): all `fields`, then `file`.
        headers: to be sent with a PUT.
        fields: of the form of a POST.
    """

    upload_id: Id
    upload_url: str
    method: Literal["PUT", "POST"]
    headers: dict[str, str] | None = None
    fields: dict[str, str] | None = None
    expires_at: Timestamp

    @classmethod
    def of(cls, ticket: Ticket) -> "UploadTicket":
        return cls(
            upload_id=ticket.upload.upload_id,
            upload_url=ticket.address.url,
            method=ticket.address.method,
            headers=dict(ticket.address.headers) or None,
            fields=dict(ticket.address.fields) or None,
            expires_at=ticket.expires_at,
        )


class MediaState(BaseModel):
    """The status of an upload."""

    media_id: Id
    status: StatusName


class MediaAnswer(MediaState, MayFail):
    """The status of an upload and, when it is ready, the media as posts show it."""

    type: str | None = None
    urls: dict[str, str] | None = None
    dimensions: Dimensions | None = None
    placeholder: str | None = None
    dominant_color: str | None = None
    preferred: str | None = None

    @classmethod
    def of(cls, media: StoredMedia, public_url: str) -> "MediaAnswer":
        shown = Media.of(media.document, public_url).model_dump(exclude={"media_id"}) if media.document else {}
        return cls(media_id=media.media_id, status=status_of(media), reason=media.reason, **shown)


def status_of(media: StoredMedia) -> StatusName:
    """Return the public name of the status."""
    names: tuple[StatusName, ...] = ("processing", "failed", "ready")
    return names[media.status - 1]
