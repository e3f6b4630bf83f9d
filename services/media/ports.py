"""Ports of the use cases: the media store and the object store."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from libs.common.stores.objects import ObjectStore
from libs.contracts.records import EventRecord
from services.media.domain import MediaUse, StoredMedia, Upload


class MediaStore(Protocol):
    """Uploads, media and their uses. Raises UnavailableError."""

    async def announce(self, upload: Upload) -> None:
        """Store an upload for as long as it may be completed."""

    async def upload(self, upload_id: int) -> Upload | None:
        """Return the announced upload, if it exists."""

    async def save(self, media: StoredMedia, records: Sequence[EventRecord] = ()) -> None:
        """Write the state and its events in one transaction. A higher status stays."""

    async def find(self, media_ids: Sequence[int]) -> list[StoredMedia]:
        """Return existing media, including deleted ones, in any order."""

    async def mark_deleted(self, media_id: int, at: datetime, records: Sequence[EventRecord]) -> None:
        """Mark existing media as deleted and write the events, in one transaction."""

    async def restore(self, media_id: int) -> None:
        """Remove the deletion mark."""

    async def purge(self, media_id: int) -> None:
        """Delete all rows of the media permanently."""

    async def add_uses(self, uses: Sequence[MediaUse]) -> None:
        """Record that posts show media, and count these as posted. A use that has ended stays ended."""

    async def end_use(self, media_id: int, post_id: int) -> None:
        """Record that the post was deleted."""

    async def uses(self, media_id: int) -> dict[int, bool]:
        """Return, by post id, whether the post still shows the media."""

    async def unposted(self, owner_id: int) -> dict[int, int]:
        """Return the bytes of an account's unposted uploads by media id."""

    async def count_unposted(self, owner_id: int, media_id: int, size: int, ttl_s: int) -> None:
        """Count these bytes as unposted, for at most `ttl_s` seconds."""

    async def count_posted(self, owner_id: int, media_id: int) -> None:
        """Stop counting the upload as unposted."""

    async def add_due(self, hour: int, media_id: int) -> None:
        """Schedule a check of the media in that hour since 1970."""

    async def due(self, hour: int, limit: int) -> list[int]:
        """Return media that are scheduled for the hour."""

    async def drop_due(self, hour: int, media_id: int) -> None:
        """Remove a completed check from the schedule."""


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of the object store in use, and bytes that fit."""

    used_bytes: int
    capacity_bytes: int


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object to serve: its size in bytes, and a function of `start` and `end` that yields the bytes between."""

    size: int
    read: Callable[[int, int], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class UploadAddress:
    """How a client sends the bytes of an upload: as the body of a PUT, or as the file of a form with these fields."""

    url: str
    method: Literal["PUT", "POST"]
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


class MediaObjects(ObjectStore, Protocol):
    """The object store, extended for uploads of clients, for serving and for content detection."""

    async def head(self, key: str, size: int) -> bytes:
        """Return the first `size` bytes. Raises FileNotFoundError."""

    async def open(self, key: str) -> StoredObject | None:
        """Return the object, or None if it does not exist."""

    async def delete_folder(self, key: str) -> None:
        """Delete all objects whose keys begin with `key` and a slash."""

    async def sweep(self, folder: str, before_s: float, limit: int) -> int:
        """Delete up to `limit` objects of a folder that were last written before `before_s` (Unix time).

        Return the number of deleted objects.
        """

    async def space(self) -> Space | None:
        """Measure the space; None if the store has no limit. Raises UnavailableError, OSError.

        A folder has that of its file system, which other files share. Blocks reserved for root do not count.
        """

    async def presigned(self, upload: Upload, valid_s: int) -> UploadAddress | None:
        """Return where a client uploads the bytes past the media service; None if that is not possible."""
