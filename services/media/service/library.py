"""Use cases: announce, receive, complete, look at, and settle media."""

import hmac
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from libs.common.core.errors import ApiError, NotFoundError, TooLargeError, UnavailableError, UnsupportedMediaError
from libs.common.core.logging import get_logger
from libs.contracts.events import MediaUploaded
from libs.contracts.records import EventOutbox
from libs.media.errors import NotAnImageError
from libs.media.image_types import ACCEPTED, HEAD_BYTES, accepted_type, refusal_of
from libs.media.paths import SecretPaths
from services.media.domain import (
    MAX_IMAGE_BYTES,
    Status,
    StoredMedia,
    Upload,
    UploadSigner,
    source_key,
    variant_type,
)
from services.media.errors import (
    SizeMismatchError,
    TypeMismatchError,
    UploadCompletedError,
    UploadMissingError,
    UploadUrlInvalidError,
)
from services.media.ports import MediaObjects, MediaStore
from services.media.service.lifetime import Lifetime, owned

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ticket:
    """Where and until when an announced upload may be put."""

    upload: Upload
    upload_url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class VariantFile:
    """One servable file."""

    path: Path
    content_type: str


class MediaLibrary:
    """Everything that happens to media on this side of the worker."""

    def __init__(
        self,
        store: MediaStore,
        objects: MediaObjects,
        outbox: EventOutbox,
        signer: UploadSigner,
        paths: SecretPaths,
        lifetime: Lifetime,
        public_url: str,
        upload_url_s: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._objects = objects
        self._outbox = outbox
        self._signer = signer
        self._paths = paths
        self._lifetime = lifetime
        self._uploads_url = f"{public_url}/v1/media/uploads"
        self._upload_url_s = upload_url_s
        self._clock = clock

    async def announce(self, upload: Upload) -> Ticket:
        """Allow these bytes to be put. Announcing the same again changes nothing but the expiry."""
        if upload.content_type not in ACCEPTED:
            raise UnsupportedMediaError(f"Accepted types are {', '.join(ACCEPTED)}.")
        if upload.file_size > MAX_IMAGE_BYTES:
            raise TooLargeError(f"An image can have at most {MAX_IMAGE_BYTES} bytes.")
        await self._lifetime.announced(upload)
        await self._store.announce(upload)
        expires = int(self._clock()) + self._upload_url_s
        query = f"expires={expires}&signature={self._signer.sign(upload, expires)}"
        return Ticket(upload, f"{self._uploads_url}/{upload.upload_id}?{query}", datetime.fromtimestamp(expires, UTC))

    async def authorize_put(self, upload_id: int, expires: int, signature: str, content_type: str) -> Upload:
        """The upload that a signed URL stands for, when it may be put now and as this type."""
        upload = await self._store.upload(upload_id)
        if upload is None or not self._signer.holds(upload, expires, signature, self._clock()):
            raise UploadUrlInvalidError
        if content_type and content_type != upload.content_type:
            raise TypeMismatchError(f"The upload was declared as {upload.content_type}.")
        await self._require_open(upload_id)
        return upload

    async def receive(self, upload: Upload, body: AsyncIterator[bytes]) -> None:
        """Store exactly the declared number of bytes, or nothing."""
        still_open = partial(self._require_open, upload.upload_id)
        await self._objects.put(upload.source_key, _exactly(body, upload.file_size), still_open)

    async def complete(self, owner_id: int, upload_id: int) -> StoredMedia:
        """Take the upload over as media. Doing it again answers the same and changes nothing."""
        if existing := await self._store.find([upload_id]):
            return owned(existing[0], owner_id)
        upload = await self._store.upload(upload_id)
        if upload is None or upload.owner_id != owner_id:
            raise NotFoundError
        size = await self._objects.size(upload.source_key)
        if size is None:
            raise UploadMissingError
        if size != upload.file_size:
            raise SizeMismatchError
        return await self._take_over(upload, size)

    async def store(self, upload: Upload, body: AsyncIterator[bytes]) -> StoredMedia:
        """Announce, put and complete in one; for services that received the bytes themselves."""
        size = await self._objects.put(upload.source_key, _at_most(body, MAX_IMAGE_BYTES))
        try:
            if not size:
                raise SizeMismatchError("The file is empty.")
            return await self._take_over(upload, size)
        except ApiError:
            await self._objects.delete(upload.source_key)
            raise

    async def show(self, user_id: int, media_id: int) -> StoredMedia:
        """One's own; others get its URLs from posts and profiles. Raises NotFoundError."""
        found = await self._store.find([media_id])
        if not found:
            raise NotFoundError
        return owned(found[0], user_id)

    async def find(self, media_ids: Sequence[int]) -> list[StoredMedia]:
        """Those that exist and are not deleted."""
        return [media for media in await self._store.find(media_ids) if media.deleted_at is None]

    async def settle(self, media: StoredMedia) -> None:
        """Keep the worker's verdict; an earlier or repeated one changes nothing. The uploaded file has served then."""
        known = await self._store.find([media.media_id])
        # An upload that is delivered again fails for want of its file: the first reason is the one.
        if media.status is not Status.FAILED or all(one.status is Status.PROCESSING for one in known):
            await self._store.save(media)
        try:
            await self._objects.delete(source_key(media.media_id))
        except (OSError, UnavailableError) as error:
            log.warning("source_not_deleted", media_id=media.media_id, error=repr(error))  # the sweep takes it later

    async def variant(self, prefix: str, user_id: str, media_id: str, secret: str, name: str) -> VariantFile:
        """A file that the worker made. Raises NotFoundError."""
        content_type = variant_type(prefix, user_id, media_id, secret, name)
        if content_type is None or not await self.find([int(media_id)]):
            raise NotFoundError
        folder = f"{prefix}/{user_id}/{media_id}"
        path = await self._objects.file(f"{folder}/{secret}/{name}")
        if path is None and hmac.compare_digest(secret, self._paths.secret_of(int(media_id))):
            path = await self._objects.file(f"{folder}/{name}")  # made before files lay under their secret
        if path is None:
            raise NotFoundError
        return VariantFile(path, content_type)

    async def _require_open(self, upload_id: int) -> None:
        if await self._store.find([upload_id]):
            raise UploadCompletedError

    async def _take_over(self, upload: Upload, size: int) -> StoredMedia:
        """The bytes decide what it is, not what it was declared to be."""
        head = await self._objects.head(upload.source_key, HEAD_BYTES)
        content_type = accepted_type(head)
        if content_type is None:
            raise NotAnImageError(refusal_of(head))
        media = StoredMedia(upload.upload_id, upload.owner_id, Status.PROCESSING)
        payload = MediaUploaded(
            media_id=media.media_id,
            owner_id=media.owner_id,
            source_key=upload.source_key,
            content_type=content_type,
            secret=upload.secret,
        )
        record = self._outbox.record(payload, media.media_id, media.status)
        await self._lifetime.uploaded(upload, size)
        await self._store.save(media, [record])
        await self._outbox.committed([record])
        return media


async def _at_most(body: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    seen = 0
    async for chunk in body:
        seen += len(chunk)
        if seen > limit:
            raise TooLargeError(f"The body has more than {limit} bytes.")
        yield chunk


async def _exactly(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    seen = 0
    async for chunk in _at_most(body, size):
        seen += len(chunk)
        yield chunk
    if seen != size:
        raise SizeMismatchError(f"The file has {seen} bytes instead of {size}.")
