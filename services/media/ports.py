"""What the media service needs of others."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from libs.common.stores.objects import ObjectStore
from libs.contracts.records import EventRecord
from services.media.domain import StoredMedia, Upload


class MediaStore(Protocol):
    """Uploads and media."""

    async def announce(self, upload: Upload) -> None:
        """Keep an upload for as long as it may be completed."""

    async def upload(self, upload_id: int) -> Upload | None:
        """The announced upload."""

    async def save(self, media: StoredMedia, records: Sequence[EventRecord] = ()) -> None:
        """Write the state and the events that tell of it, all or nothing. A greater status already there stays."""

    async def find(self, media_ids: Sequence[int]) -> list[StoredMedia]:
        """Those that exist, deleted ones too, in any order."""

    async def mark_deleted(self, media_id: int, at: datetime, records: Sequence[EventRecord]) -> None:
        """Write that a medium that exists is deleted, and the events that tell of it, all or nothing."""

    async def restore(self, media_id: int) -> None:
        """Take the mark away."""

    async def forget(self, media_id: int) -> None:
        """Remove all that is known of it, for good."""

    async def use(self, media_id: int, post_id: int) -> None:
        """Write down that a post shows it; one that was written down as gone stays gone."""

    async def disuse(self, media_id: int, post_id: int) -> None:
        """The post is gone."""

    async def uses(self, media_id: int) -> dict[int, bool]:
        """By post that ever showed it, whether it is still there."""

    async def unposted(self, owner_id: int) -> dict[int, int]:
        """Bytes of an account's uploads that are not posted, by media id."""

    async def count_unposted(self, owner_id: int, media_id: int, size: int, ttl_s: int) -> None:
        """Count these bytes as not posted, for at most `ttl_s` seconds."""

    async def count_posted(self, owner_id: int, media_id: int) -> None:
        """Count them no more."""

    async def add_due(self, hour: int, media_id: int) -> None:
        """Look at the medium in that hour since 1970."""

    async def due(self, hour: int, limit: int) -> list[int]:
        """What is to be looked at then."""

    async def drop_due(self, hour: int, media_id: int) -> None:
        """It was looked at."""


class MediaObjects(ObjectStore, Protocol):
    """The object store, with what serving and sniffing need besides."""

    async def head(self, key: str, size: int) -> bytes:
        """The first `size` bytes. Raises FileNotFoundError."""

    async def file(self, key: str) -> Path | None:
        """The object as a local file, or None."""

    async def delete_folder(self, key: str) -> None:
        """Delete all objects whose keys begin with `key` and a slash."""

    async def sweep(self, folder: str, before_s: float, limit: int) -> int:
        """Delete up to `limit` objects of a folder that were last written before this moment (Unix time); how many."""
