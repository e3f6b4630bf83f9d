"""In-memory implementations of the ports."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime

from libs.contracts.records import EventRecord
from services.media.domain import MediaUse, StoredMedia, Upload


class InMemoryMediaStore:
    """Implements `MediaStore`. The highest write timestamp wins, as in Cassandra."""

    def __init__(self) -> None:
        self.uploads: dict[int, Upload] = {}
        self.media: dict[int, StoredMedia] = {}
        self.records: list[EventRecord] = []
        self.used: dict[int, dict[int, bool]] = defaultdict(dict)
        self.not_posted: dict[int, dict[int, int]] = defaultdict(dict)
        self.use_writes = 0
        self.due_hours: dict[int, set[int]] = defaultdict(set)

    async def announce(self, upload: Upload) -> None:
        self.uploads[upload.upload_id] = upload

    async def upload(self, upload_id: int) -> Upload | None:
        return self.uploads.get(upload_id)

    async def save(self, media: StoredMedia, records: Sequence[EventRecord] = ()) -> None:
        self.records += records
        stored = self.media.get(media.media_id)
        if stored is None or media.written_at_us >= stored.written_at_us:
            self.media[media.media_id] = replace(media, deleted_at=stored.deleted_at if stored else None)

    async def find(self, media_ids: Sequence[int]) -> list[StoredMedia]:
        return [self.media[media_id] for media_id in set(media_ids) if media_id in self.media]

    async def mark_deleted(self, media_id: int, at: datetime, records: Sequence[EventRecord]) -> None:
        self.records += records
        self.media[media_id] = replace(self.media[media_id], deleted_at=at)

    async def restore(self, media_id: int) -> None:
        self.media[media_id] = replace(self.media[media_id], deleted_at=None)

    async def purge(self, media_id: int) -> None:
        self.media.pop(media_id, None)
        self.used.pop(media_id, None)

    async def add_uses(self, uses: Sequence[MediaUse]) -> None:
        self.use_writes += 1
        for use in uses:
            self.used[use.media_id].setdefault(use.post_id, True)
            await self.count_posted(use.owner_id, use.media_id)

    async def end_use(self, media_id: int, post_id: int) -> None:
        self.used[media_id][post_id] = False

    async def uses(self, media_id: int) -> dict[int, bool]:
        return dict(self.used[media_id])

    async def unposted(self, owner_id: int) -> dict[int, int]:
        return dict(self.not_posted[owner_id])

    async def count_unposted(self, owner_id: int, media_id: int, size: int, ttl_s: int) -> None:
        self.not_posted[owner_id][media_id] = size

    async def count_posted(self, owner_id: int, media_id: int) -> None:
        self.not_posted[owner_id].pop(media_id, None)

    async def add_due(self, hour: int, media_id: int) -> None:
        self.due_hours[hour].add(media_id)

    async def due(self, hour: int, limit: int) -> list[int]:
        return list(self.due_hours[hour])[:limit]

    async def drop_due(self, hour: int, media_id: int) -> None:
        self.due_hours[hour].discard(media_id)


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
