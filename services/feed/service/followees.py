"""The followees of a reader."""

from cachetools import TTLCache

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from services.feed.domain.feed import Followees, Reader
from services.feed.ports import Cache, Graph

REWRITE_S = 3_600  # they are cached in Redis for 24 h: writing once an hour, or on a change, is often enough
READERS_MAX = 100_000
log = get_logger(__name__)


class Readers:
    """Asks the user service, and falls back to the followees cached in Redis while it is unavailable."""

    def __init__(self, graph: Graph, cache: Cache) -> None:
        self._graph = graph
        self._cache = cache
        self._written: TTLCache[int, int] = TTLCache(READERS_MAX, REWRITE_S)
        """By reader: the hash of what this process wrote last."""

    async def get(self, reader_id: int) -> Reader:
        """Return the reader with followees, which are `stale` while the user service is unavailable.

        Raises:
            UnavailableError: the user service is unavailable, and nothing is cached.
        """
        try:
            followees = await self._graph.followees(reader_id)
        except UnavailableError:
            return Reader(reader_id, await self._cached(reader_id))
        if self._written.get(reader_id) != hash(followees):
            await self._write(reader_id, followees)
        return Reader(reader_id, followees)

    async def refresh(self, reader_id: int) -> Reader:
        """Ask the graph, and write the cache whatever was written before. Raises UnavailableError."""
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
