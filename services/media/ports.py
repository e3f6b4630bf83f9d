"""What the media service needs of others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from libs.common.kafka.producer import Record
from libs.common.stores.objects import ObjectStore
from services.media.domain import StoredMedia, Upload


class MediaStore(Protocol):
    """Uploads and media."""

    async def announce(self, upload: Upload) -> None:
        """Keep an upload for as long as it may be completed."""

    async def upload(self, upload_id: int) -> Upload | None:
        """The announced upload."""

    async def save(self, media: StoredMedia, records: Sequence[Record] = ()) -> None:
        """Write the state and the events that tell of it, all or nothing. A greater status already there stays."""

    async def find(self, media_ids: Sequence[int]) -> list[StoredMedia]:
        """Those that exist, in any order."""


class MediaObjects(ObjectStore, Protocol):
    """The object store, with what serving and sniffing need besides."""

    async def head(self, key: str, size: int) -> bytes:
        """The first `size` bytes. Raises FileNotFoundError."""

    async def file(self, key: str) -> Path | None:
        """The object as a local file, or None."""

    async def sweep(self, folder: str, before_s: float, limit: int) -> int:
        """Delete up to `limit` objects of a folder that were last written before this moment (Unix time); how many."""


class EventPublisher(Protocol):
    """Publishes what the store has committed."""

    async def committed(self, records: Sequence[Record]) -> None:
        """Publish soon; returns at once."""
