"""Rebuild the feed lists of active readers after Redis lost them, before the readers request them."""

import asyncio
from collections.abc import Callable, Iterable

from prometheus_client import Counter

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from services.feed.ports import Generation
from services.feed.service.sources import ListSource

LOOK_S = 1.0
AT_ONCE = 4  # readers come first: each of these asks for the posts of all followees
WARMED = Counter("feedmill_feed_lists_warmed_total", "Lists rebuilt ahead of their readers after Redis was emptied.")
log = get_logger(__name__)


class FeedWarmer:
    """Notices that Redis was emptied, and rebuilds the feed lists of users that this process served recently."""

    def __init__(self, redis: Generation, source: ListSource, active: Callable[[], Iterable[int]]) -> None:
        self._redis = redis
        self._source = source
        self._active = active
        self._seen: bytes | None = None

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            try:
                await self.look()
            except UnavailableError as error:
                log.warning("warming_waits", error=repr(error))
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Warm all if Redis was emptied since the last look. Raises UnavailableError."""
        generation = await self._redis.generation()
        if self._seen not in (None, generation):
            slots = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(*(self._warm(reader_id, slots) for reader_id in self._active()))
        self._seen = generation

    async def _warm(self, reader_id: int, slots: asyncio.Semaphore) -> None:
        async with slots:
            try:
                await self._source.warm(reader_id)
            except UnavailableError as error:  # the reader's own read will build it
                log.warning("list_not_warmed", error=repr(error))
            else:
                WARMED.inc()
