"""The object store of the media service in a folder."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from libs.common.core.errors import UnavailableError
from libs.common.stores.objects import Check, FolderObjectStore
from services.media.domain import Upload
from services.media.ports import Space, StoredObject

CHUNK_BYTES = 256 * 1024


class FolderMediaObjects(FolderObjectStore):
    """Implements `MediaObjects`. A write error of the folder counts as an outage: it raises UnavailableError."""

    async def put(self, key: str, body: AsyncIterator[bytes], check: Check | None = None) -> int:
        try:
            return await super().put(key, body, check)
        except OSError as error:
            raise UnavailableError("The object store does not accept files.") from error

    async def head(self, key: str, size: int) -> bytes:
        return await asyncio.to_thread(_head, self.path(key), size)

    async def open(self, key: str) -> StoredObject | None:
        path = self.path(key)
        if not await asyncio.to_thread(path.is_file):
            return None
        return StoredObject(path.stat().st_size, lambda start, end: _read(path, start, end))

    async def delete_folder(self, key: str) -> None:
        with suppress(FileNotFoundError):
            await asyncio.to_thread(shutil.rmtree, self.path(key))

    async def sweep(self, folder: str, before_s: float, limit: int) -> int:
        return await asyncio.to_thread(_sweep, self.path(folder), before_s, limit)

    async def space(self) -> Space:
        usage = await asyncio.to_thread(shutil.disk_usage, self.path(""))
        return Space(usage.used, usage.used + usage.free)

    async def presigned(self, _upload: Upload, _valid_s: int) -> None:
        return None


async def _read(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while left := end - file.tell():
            yield await asyncio.to_thread(file.read, min(left, CHUNK_BYTES))


def _sweep(folder: Path, before_s: float, limit: int) -> int:
    swept = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # another replica may have deleted it
                if entry.is_file() and entry.stat().st_mtime < before_s:
                    Path(entry).unlink()
                    swept += 1
            if swept == limit:
                break
    return swept


def _head(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)
