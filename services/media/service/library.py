"""Use cases of uploads and media."""

import hmac
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from libs.common.core.errors import ApiError, NotFoundError, TooLargeError, UnavailableError, UnsupportedMediaError
from libs.common.core.logging import get_logger
from libs.contracts.events import MediaUploaded
from libs.contracts.records import EventOutbox
from libs.media.errors import NotAnImageError
from libs.media.image_types import ACCEPTED, HEAD_BYTES, accepted_type, refusal_of
from libs.media.paths import SecretPaths
from services.media.domain import (
    MAX_IMAGE_BYTES,
    ProcessingStatus,
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
from services.media.ports import MediaObjects, MediaStore, StoredObject, UploadAddress
from services.media.service.lifetime import Lifetime, require_owned

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ticket:
    """Where an announced upload is sent to, and until when."""

    upload: Upload
    address: UploadAddress
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Variant:
    """The stored file of a variant."""

    file: StoredObject
    content_type: str


class MediaLibrary:
    """Uploads, processing results and files of media."""

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
        """Return an upload URL. Announcing the same upload again only changes the expiry.

        Raises:
            UnsupportedMediaError, TooLargeError, TooMuchUnpostedError.
        """
        if upload.content_type not in ACCEPTED:
            raise UnsupportedMediaError(f"Accepted types are {', '.join(ACCEPTED)}.")
        if upload.file_size > MAX_IMAGE_BYTES:
            raise TooLargeError(f"An image can have at most {MAX_IMAGE_BYTES} bytes.")
        await self._lifetime.count_announced(upload)
        await self._store.announce(upload)
        expires = int(self._clock()) + self._upload_url_s
        address = await self._objects.presigned(upload, self._upload_url_s) or self._own_address(upload, expires)
        return Ticket(upload, address, datetime.fromtimestamp(expires, UTC))

    def _own_address(self, upload: Upload, expires: int) -> UploadAddress:
        query = f"expires={expires}&signature={self._signer.sign(upload, expires)}"
        url = f"{self._uploads_url}/{upload.upload_id}?{query}"
        return UploadAddress(url, "PUT", headers={"Content-Type": upload.content_type})

    async def authorize_put(self, upload_id: int, expires: int, signature: str, content_type: str) -> Upload:
        """Return the upload of a signed URL.

        Raises:
            UploadUrlInvalidError: the signature is wrong or has expired.
            TypeMismatchError: another content type was declared.
            UploadCompletedError.
        """
        upload = await self._store.upload(upload_id)
        if upload is None or not self._signer.is_valid(upload, expires, signature, self._clock()):
            raise UploadUrlInvalidError
        if content_type and content_type != upload.content_type:
            raise TypeMismatchError(f"The upload was declared as {upload.content_type}.")
        await self._require_open(upload_id)
        return upload

    async def receive(self, upload: Upload, body: AsyncIterator[bytes]) -> None:
        """Store exactly the declared number of bytes, or nothing. Raises SizeMismatchError, UploadCompletedError."""
        still_open = partial(self._require_open, upload.upload_id)
        await self._objects.put(upload.source_key, _exactly(body, upload.file_size), still_open)

    async def complete(self, owner_id: int, upload_id: int) -> StoredMedia:
        """Turn the upload into media. Idempotent.

        Raises:
            NotFoundError: the upload does not exist or belongs to another user.
            UploadMissingError, SizeMismatchError, NotAnImageError, TooMuchUnpostedError.
        """
        if existing := await self._store.find([upload_id]):
            return require_owned(existing[0], owner_id)
        upload = await self._store.upload(upload_id)
        if upload is None or upload.owner_id != owner_id:
            raise NotFoundError
        size = await self._objects.size(upload.source_key)
        if size is None:
            raise UploadMissingError
        if size != upload.file_size:
            raise SizeMismatchError
        return await self._create_media(upload, size)

    async def store(self, upload: Upload, body: AsyncIterator[bytes]) -> StoredMedia:
        """Announce, upload and complete in one call, for services that received the bytes themselves."""
        size = await self._objects.put(upload.source_key, _at_most(body, MAX_IMAGE_BYTES))
        try:
            if not size:
                raise SizeMismatchError("The file is empty.")
            return await self._create_media(upload, size)
        except ApiError:
            await self._objects.delete(upload.source_key)
            raise

    async def show(self, user_id: int, media_id: int) -> StoredMedia:
        """Return media of the user. Raises NotFoundError."""
        found = await self._store.find([media_id])
        if not found:
            raise NotFoundError
        return require_owned(found[0], user_id)

    async def find(self, media_ids: Sequence[int]) -> list[StoredMedia]:
        """Return existing media, without deleted ones."""
        return [media for media in await self._store.find(media_ids) if media.deleted_at is None]

    async def save_result(self, media: StoredMedia) -> None:
        """Store the result of the worker, and delete the uploaded file. Idempotent."""
        stored = await self._store.find([media.media_id])
        # A redelivered upload fails because its file is deleted, so the first reason is the true one.
        if media.status is not ProcessingStatus.FAILED or all(
            one.status is ProcessingStatus.PROCESSING for one in stored
        ):
            await self._store.save(media)
        try:
            await self._objects.delete(source_key(media.media_id))
        except (OSError, UnavailableError) as error:
            log.warning("source_not_deleted", media_id=media.media_id, error=repr(error))  # the sweep deletes it later

    async def variant(self, prefix: str, user_id: str, media_id: str, secret: str, name: str) -> Variant:
        """Return a file that the worker created. Raises NotFoundError."""
        content_type = variant_type(prefix, user_id, media_id, secret, name)
        if content_type is None or not await self.find([int(media_id)]):
            raise NotFoundError
        folder = f"{prefix}/{user_id}/{media_id}"
        file = await self._objects.open(f"{folder}/{secret}/{name}")
        if file is None and hmac.compare_digest(secret, self._paths.secret_of(int(media_id))):
            file = await self._objects.open(f"{folder}/{name}")  # created before paths had a secret part
        if file is None:
            raise NotFoundError
        return Variant(file, content_type)

    async def _require_open(self, upload_id: int) -> None:
        if await self._store.find([upload_id]):
            raise UploadCompletedError

    async def _create_media(self, upload: Upload, size: int) -> StoredMedia:
        # The bytes decide the type, not the declaration.
        head = await self._objects.head(upload.source_key, HEAD_BYTES)
        content_type = accepted_type(head)
        if content_type is None:
            raise NotAnImageError(refusal_of(head))
        media = StoredMedia(upload.upload_id, upload.owner_id, ProcessingStatus.PROCESSING)
        payload = MediaUploaded(
            media_id=media.media_id,
            owner_id=media.owner_id,
            source_key=upload.source_key,
            content_type=content_type,
            secret=upload.secret,
        )
        record = self._outbox.record(payload, media.media_id, media.status)
        await self._lifetime.count_uploaded(upload, size)
        await self._store.save(media, [record])
        await self._outbox.committed([record])
        return media


async def _at_most(body: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    size_so_far = 0
    async for chunk in body:
        size_so_far += len(chunk)
        if size_so_far > limit:
            raise TooLargeError(f"The body has more than {limit} bytes.")
        yield chunk


async def _exactly(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    size_so_far = 0
    async for chunk in _at_most(body, size):
        size_so_far += len(chunk)
        yield chunk
    if size_so_far != size:
        raise SizeMismatchError(f"The file has {size_so_far} bytes instead of {size}.")
