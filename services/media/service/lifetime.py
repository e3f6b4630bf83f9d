"""How long media are kept: while a post or a profile shows them; after that they are deleted, and purged later."""

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
from services.media.domain import UPLOAD_TTL_S, UPLOADS, StoredMedia, Upload, source_key
from services.media.errors import MediaInUseError, TooMuchUnpostedError
from services.media.ports import MediaObjects, MediaStore

UNPOSTED_S = 8 * UPLOAD_TTL_S  # `media.uploaded` is kept for 7 days: none goes that may still be processed
PURGE_S = 30 * 86_400
LOOK_BACK_H = 31 * 24  # so long all replicas may have been down
PROFILE = 0  # in the place of a post's id
SWEPT_AT_ONCE = 1_000
log = get_logger(__name__)


def owned(media: StoredMedia, owner_id: int) -> StoredMedia:
    """It, if it is this owner's and not deleted. Raises NotFoundError."""
    if media.owner_id != owner_id or media.deleted_at:
        raise NotFoundError
    return media


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Uses, deletion and sweeping of media. All of it may run twice, and in several replicas at once."""

    store: MediaStore
    objects: MediaObjects
    outbox: EventOutbox
    max_unposted_bytes: int
    clock: Callable[[], float] = time.time

    async def announced(self, upload: Upload) -> None:
        """Count an upload that may be put until tomorrow. Raises TooMuchUnpostedError."""
        await self._count(upload, upload.file_size, UPLOAD_TTL_S)

    async def uploaded(self, upload: Upload, size: int) -> None:
        """Count an upload that is there, and look at it when it should be posted. Raises TooMuchUnpostedError."""
        await self.store.add_due(self._hour(UNPOSTED_S) + 1, upload.upload_id)
        await self._count(upload, size, UNPOSTED_S)

    async def _count(self, upload: Upload, size: int, ttl_s: int) -> None:
        sizes = await self.store.unposted(upload.owner_id)
        others = sum(size for media_id, size in sizes.items() if media_id != upload.upload_id)
        if others + size > self.max_unposted_bytes:
            raise TooMuchUnpostedError(
                f"{others} of {self.max_unposted_bytes} bytes are not posted yet. Post or delete some uploads first."
            )
        await self.store.count_unposted(upload.owner_id, upload.upload_id, size, ttl_s)

    async def shown(self, post_id: int, owner_id: int, media_ids: Sequence[int]) -> None:
        """A post, or the profile, shows them: they are kept, also if they were deleted in this moment."""
        for media_id in media_ids:
            await self.store.use(media_id, post_id)
            await self.store.count_posted(owner_id, media_id)
            await self._keep_used(media_id)

    async def post_deleted(self, post_id: int, media_ids: Sequence[int]) -> None:
        """What no other post shows is deleted with it; but not media posted before uses were written down."""
        for media_id in media_ids:
            uses = await self.store.uses(media_id)
            if post_id in uses:
                await self.store.disuse(media_id, post_id)
                if not any(is_there for other, is_there in uses.items() if other != post_id):
                    for media in await self.store.find([media_id]):
                        await self._delete(media)

    async def delete(self, owner_id: int, media_id: int) -> None:
        """Delete one's own upload.

        Raises:
            NotFoundError: it is another's, or not there.
            MediaInUseError: a post or the profile shows it.
        """
        found = await self.store.find([media_id])
        if not found:
            raise NotFoundError
        media = owned(found[0], owner_id)
        if await self._is_used(media_id):
            raise MediaInUseError
        await self._delete(media)

    async def _delete(self, media: StoredMedia) -> None:
        if media.deleted_at is None:
            await self._mark_deleted(media)
        await self._keep_used(media.media_id)  # it may have been posted meanwhile

    async def _mark_deleted(self, media: StoredMedia) -> None:
        now = datetime.fromtimestamp(self.clock(), UTC)
        payload = MediaDeleted(media_id=media.media_id, owner_id=media.owner_id)
        version = int(now.timestamp() * 1_000_000)
        record = self.outbox.record(payload, media.media_id, version)
        await self.store.add_due(self._hour(PURGE_S) + 1, media.media_id)
        await self.store.count_posted(media.owner_id, media.media_id)
        await self.store.mark_deleted(media.media_id, now, [record])
        await self.outbox.committed([record])

    async def _keep_used(self, media_id: int) -> None:
        for media in await self.store.find([media_id]):
            if media.deleted_at and await self._is_used(media_id):
                await self.store.restore(media_id)

    async def _is_used(self, media_id: int) -> bool:
        return any((await self.store.uses(media_id)).values())

    async def sweep(self) -> int:
        """Delete what was never posted, purge what was deleted long ago, remove raw files that were left; how many."""
        swept = await self.objects.sweep(UPLOADS, self.clock() - UNPOSTED_S, SWEPT_AT_ONCE)
        for hour in range(self._hour(-LOOK_BACK_H * HOUR_S), self._hour() + 1):
            for media_id in await self.store.due(hour, SWEPT_AT_ONCE):
                await self._look_at(media_id)
                await self.store.drop_due(hour, media_id)
                swept += 1
        return swept

    async def _look_at(self, media_id: int) -> None:
        for media in await self.store.find([media_id]):
            if media.deleted_at is None:
                if not await self._is_used(media_id):
                    await self._delete(media)
            elif self.clock() - media.deleted_at.timestamp() >= PURGE_S:
                await self.objects.delete_folder(media_folder(media.owner_id, media_id))
                await self.objects.delete(source_key(media_id))
                await self.store.forget(media_id)

    async def sweep_forever(self) -> None:
        """Once an hour, in one replica or in several."""
        while True:
            try:
                while swept := await self.sweep():
                    log.info("media_swept", count=swept)
            except (OSError, UnavailableError) as error:
                log.warning("sweep_failed", error=repr(error))
            await asyncio.sleep(HOUR_S)

    def _hour(self, in_s: float = 0.0) -> int:
        return int(self.clock() + in_s) // HOUR_S
