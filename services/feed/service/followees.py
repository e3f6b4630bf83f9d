"""Followees of a reader, from memory, the graph or the cache in Redis."""

import time
from collections.abc import Callable
from contextlib import suppress

from cachetools import TTLCache

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.telemetry.caches import count_reads
from services.feed.domain.feed import Followees, Reader
from services.feed.ports import CACHED_S, Cache, Graph, ReaderState, StoredFeed

REWRITE_S = 3_600  # Redis stores them for 24 h, so a write once an hour, or after a change, is sufficient
READERS_MAX = 100_000
FOLLOWEES_MAX = 1_000_000  # ids of all readers together, about 100 MB
log = get_logger(__name__)


class Readers:
    """Asks the graph unless the followees in memory are still valid.

    While the graph is unavailable, it falls back to the followees in Redis.
    """

    def __init__(self, graph: Graph, cache: Cache, clock: Callable[[], float] = time.monotonic) -> None:
        self._graph = graph
        self._cache = cache
        self._known: TTLCache[int, tuple[bytes, Followees]] = TTLCache(
            FOLLOWEES_MAX, CACHED_S, clock, lambda entry: 1 + len(entry[1].all)
        )
        """By reader: followees, and the stamp that was read before them."""
        self._written: TTLCache[int, int] = TTLCache(READERS_MAX, REWRITE_S)
        """By reader: the hash of the followees that this process wrote last."""

    async def get(self, reader_id: int, session_id: str | None = None) -> ReaderState:
        """Return the reader with the stored feed, which includes the pinned order of the session, and the followees.

        The followees are `stale` while the graph is unavailable.

        Raises:
            UnavailableError: the graph is unavailable, and nothing is cached.
        """
        stored = await self._stored(reader_id, session_id)
        return ReaderState(reader_id, await self._followees(reader_id, stored), stored)

    async def _stored(self, reader_id: int, session_id: str | None) -> StoredFeed | None:
        try:
            return await self._cache.stored_feed(reader_id, session_id)
        except UnavailableError as error:
            log.warning("stored_feed_unreadable", error=repr(error))
            return None

    async def _followees(self, reader_id: int, stored: StoredFeed | None) -> Followees:
        known = self._known.get(reader_id)
        if known and stored and known[0] == stored.stamps.followees:
            count_reads("followees", hits=1, misses=0)
            return known[1]
        count_reads("followees", hits=0, misses=1)
        try:
            followees = await self._graph.followees(reader_id)
        except UnavailableError:
            return await self._cached(reader_id)
        if stored:
            with suppress(ValueError):  # more followees than the cache may hold
                self._known[reader_id] = stored.stamps.followees, followees
        if self._written.get(reader_id) != hash(followees):
            await self._write(reader_id, followees)
        return followees

    async def refresh(self, reader_id: int) -> Reader:
        """Ask the graph, and write the cache even if the followees are unchanged. Raises UnavailableError."""
        followees = await self._graph.followees(reader_id)
        await self._write(reader_id, followees)
        return Reader(reader_id, followees)

    async def _cached(self, reader_id: int) -> Followees:
        cached = await self._cache.cached_followees(reader_id)
        if cached is None:
            raise UnavailableError
        return cached

    async def _write(self, reader_id: int, followees: Followees) -> None:
        try:
            await self._cache.cache_followees(reader_id, followees)
            self._written[reader_id] = hash(followees)
        except UnavailableError as error:
            log.warning("followees_not_cached", error=repr(error))
