"""The object store: a port, and an adapter that stores objects in a folder."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from opentelemetry.trace import SpanKind

from libs.common.core.errors import UnavailableError
from libs.telemetry.tracing import Spanned, child_span

Check = Callable[[], Awaitable[None]]
"""Called when the whole object was received; raises if the object must not be stored."""


class ObjectStore(Protocol):
    """Stores bytes by key. Keys are relative paths of safe characters. Objects appear completely or not at all."""

    async def put(self, key: str, body: AsyncIterator[bytes], check: Check | None = None) -> int:
        """Store the stream. Return its size in bytes. If the stream breaks or `check` raises, nothing is stored."""

    async def get(self, key: str) -> bytes:
        """Read an object. Raises FileNotFoundError."""

    async def size(self, key: str) -> int | None:
        """The size in bytes; None if there is no such object."""

    async def delete(self, key: str) -> None:
        """Delete an object if it exists."""


class FolderObjectStore:
    """Stores objects as files below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, key: str) -> Path:
        """The file of the object.

        Raises:
            ValueError: the key points outside of the folder.
            UnavailableError: the folder does not exist. It is not created, since a mount may be missing in its place.
        """
        if not self._root.is_dir():
            raise UnavailableError("The object store does not respond.")
        path = (self._root / key).resolve()
        if not path.is_relative_to(self._root.resolve()):
            raise ValueError("the key leaves the store")
        return path

    async def put(self, key: str, body: AsyncIterator[bytes], check: Check | None = None) -> int:
        with object_span("put"):
            return await self._put(key, body, check)

    async def _put(self, key: str, body: AsyncIterator[bytes], check: Check | None) -> int:
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{uuid4().hex}")
        size = 0
        try:
            with partial.open("wb") as file:
                async for chunk in body:
                    size += len(chunk)
                    await asyncio.to_thread(file.write, chunk)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            if check is not None:
                await check()
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return size

    async def get(self, key: str) -> bytes:
        with object_span("get"):
            return await asyncio.to_thread(self.path(key).read_bytes)

    async def size(self, key: str) -> int | None:
        with object_span("size"):
            path = self.path(key)
            return path.stat().st_size if path.is_file() else None

    async def delete(self, key: str) -> None:
        with object_span("delete"):
            self.path(key).unlink(missing_ok=True)


def object_span(operation: str) -> Spanned:
    """A span of one operation."""
    # Keys have ids of owners, and secrets.
    return child_span(f"{operation} object", SpanKind.CLIENT, {"feedmill.object.operation": operation})
