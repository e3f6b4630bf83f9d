"""Small real things in the place of Cassandra and Kafka."""

from collections.abc import AsyncIterator, Sequence

from libs.common.kafka.producer import Record
from services.media.domain import StoredMedia, Upload


class InMemoryMediaStore:
    """Implements `MediaStore`: the greatest write timestamp wins, as in Cassandra."""

    def __init__(self) -> None:
        self.uploads: dict[int, Upload] = {}
        self.media: dict[int, StoredMedia] = {}
        self.records: list[Record] = []

    async def announce(self, upload: Upload) -> None:
        self.uploads[upload.upload_id] = upload

    async def upload(self, upload_id: int) -> Upload | None:
        return self.uploads.get(upload_id)

    async def save(self, media: StoredMedia, records: Sequence[Record] = ()) -> None:
        self.records += records
        stored = self.media.get(media.media_id)
        if stored is None or media.written_at_us >= stored.written_at_us:
            self.media[media.media_id] = media

    async def find(self, media_ids: Sequence[int]) -> list[StoredMedia]:
        return [self.media[media_id] for media_id in set(media_ids) if media_id in self.media]


class Committed:
    """Remembers what it was told of."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def committed(self, records: Sequence[Record]) -> None:
        self.records += records


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
