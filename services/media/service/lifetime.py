"""Lifetime of media: they exist while a post or profile shows them, are then deleted, and later purged."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from libs.common.core.errors import NotFoundError, UnavailableError
from libs.common.core.logging import get_logger
from libs.common.web.limits import HOUR_S
from libs.contracts.events import MediaDeleted
from libs.contracts.records import EventOutbox
from libs.media.paths import media_folder
from services.media.domain import UPLOAD_TTL_S, UPLOADS, MediaUse, StoredMedia, Upload, source_key
from services.media.errors import MediaInUseError, TooMuchUnpostedError
from services.media.ports import MediaObjects, MediaStore

UNPOSTED_TTL_S = (
    8 * UPLOAD_TTL_S
)  # longer than the 7 days of the topic `media`, so nothing is deleted that may still be processed
PURGE_AFTER_S = 30 * 86_400
LOOK_BACK_H = 31 * 24  # the longest outage of all replicas that the sweep recovers from
PROFILE = 0  # used instead of a post id
SWEEP_LIMIT = 1_000
USES_A_CALL = 20  # a call costs the driver more than a row, but more rows would overload one coordinator
log = get_logger(__name__)


def require_owned(media: StoredMedia, owner_id: int) -> StoredMedia:
    """Return the media if it belongs to the owner and is not deleted. Raises NotFoundError."""
    if media.owner_id != owner_id or media.deleted_at:
        raise NotFoundError
    return media


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Uses, deletion and sweeping of media. All methods are idempotent and may run in several replicas at once."""

    store: MediaStore
    objects: MediaObjects
    outbox: EventOutbox
    max_unposted_bytes: int
    clock: Callable[[], float] = time.time

    async def count_announced(self, upload: Upload) -> None:
        """Count an announced upload for as long as it may be completed. Raises TooMuchUnpostedError."""
        await self._count(upload, upload.file_size, UPLOAD_TTL_S)

    async def count_uploaded(self, upload: Upload, size: int) -> None:
        """Count a completed upload, and schedule a check whether it was posted. Raises TooMuchUnpostedError."""
        await self.store.add_due(self._hour(UNPOSTED_TTL_S) + 1, upload.upload_id)
        await self._count(upload, size, UNPOSTED_TTL_S)

    async def _count(self, upload: Upload, size: int, ttl_s: int) -> None:
        sizes = await self.store.unposted(upload.owner_id)
        others = sum(size for media_id, size in sizes.items() if media_id != upload.upload_id)
        if others + size > self.max_unposted_bytes:
            raise TooMuchUnpostedError(
                f"{others} of {self.max_unposted_bytes} bytes are not posted yet. Post or delete some uploads."
            )
        await self.store.count_unposted(upload.owner_id, upload.upload_id, size, ttl_s)

    async def mark_used(self, uses: Sequence[MediaUse]) -> None:
        """Record that posts, or profiles, show media. Restores media that were deleted concurrently."""
        for start in range(0, len(uses), USES_A_CALL):
            some = uses[start : start + USES_A_CALL]
            await self.store.add_uses(some)
            await self._restore_if_used([use.media_id for use in some])

    async def post_deleted(self, post_id: int, media_ids: Sequence[int]) -> None:
        """Delete media that no other post shows. Media that were posted before uses were recorded stay."""
        for media_id in media_ids:
            uses = await self.store.uses(media_id)
            if post_id in uses:
                await self.store.end_use(media_id, post_id)
                if not any(is_used for other, is_used in uses.items() if other != post_id):
                    for media in await self.store.find([media_id]):
                        await self._delete(media)

    async def delete(self, owner_id: int, media_id: int) -> None:
        """Delete an upload of the owner.

        Raises:
            NotFoundError: it does not exist or belongs to another user.
            MediaInUseError: a post or the profile shows it.
        """
        found = await self.store.find([media_id])
        if not found:
            raise NotFoundError
        media = require_owned(found[0], owner_id)
        if await self._is_used(media_id):
            raise MediaInUseError
        await self._delete(media)

    async def _delete(self, media: StoredMedia) -> None:
        if media.deleted_at is None:
            await self._mark_deleted(media)
        await self._restore_if_used([media.media_id])  # it may have been posted concurrently

    async def _mark_deleted(self, media: StoredMedia) -> None:
        now = datetime.fromtimestamp(self.clock(), UTC)
        payload = MediaDeleted(media_id=media.media_id, owner_id=media.owner_id)
        version = int(now.timestamp() * 1_000_000)
        record = self.outbox.record(payload, media.media_id, version)
        await self.store.add_due(self._hour(PURGE_AFTER_S) + 1, media.media_id)
        await self.store.count_posted(media.owner_id, media.media_id)
        await self.store.mark_deleted(media.media_id, now, [record])
        await self.outbox.committed([record])

    async def _restore_if_used(self, media_ids: Sequence[int]) -> None:
        for media in await self.store.find(media_ids):
            if media.deleted_at and await self._is_used(media.media_id):
                await self.store.restore(media.media_id)

    async def _is_used(self, media_id: int) -> bool:
        return any((await self.store.uses(media_id)).values())

    async def sweep(self) -> int:
        """Delete unposted media, purge media that were deleted long ago, and remove leftover uploaded files.

        Return the number of media and files checked or removed.
        """
        swept = await self.objects.sweep(UPLOADS, self.clock() - UNPOSTED_TTL_S, SWEEP_LIMIT)
        for hour in range(self._hour(-LOOK_BACK_H * HOUR_S), self._hour() + 1):
            for media_id in await self.store.due(hour, SWEEP_LIMIT):
                await self._sweep_media(media_id)
                await self.store.drop_due(hour, media_id)
                swept += 1
        return swept

    async def _sweep_media(self, media_id: int) -> None:
        for media in await self.store.find([media_id]):
            if media.deleted_at is None:
                if not await self._is_used(media_id):
                    await self._delete(media)
            elif self.clock() - media.deleted_at.timestamp() >= PURGE_AFTER_S:
                await self.objects.delete_folder(media_folder(media.owner_id, media_id))
                await self.objects.delete(source_key(media_id))
                await self.store.purge(media_id)

    async def sweep_forever(self) -> None:
        """Sweep once an hour until cancelled."""
        while True:
            try:
                while swept := await self.sweep():
                    log.info("media_swept", count=swept)
            except (OSError, UnavailableError) as error:
                log.warning("sweep_failed", error=repr(error))
            await asyncio.sleep(HOUR_S)

    def _hour(self, in_s: float = 0.0) -> int:
        return int(self.clock() + in_s) // HOUR_S
