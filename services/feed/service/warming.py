"""Prepares the feeds of returning readers: cached pages that expire soon, and lists after Redis has lost its data."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.telemetry.metrics import counter
from services.feed.ports import Generation
from services.feed.service.returning import FirstPage, ReturningReaders
from services.feed.service.sources import ListSource

POLL_S = 1.0
CONCURRENCY = 4  # few, because requests of readers have priority; one rebuild reads the posts of all followees
PAUSE = 9  # after each page, in multiples of the time that it took; so warming uses at most a tenth of a core
PAGES_WARMED = counter("feedmill_feed_pages_warmed_total")
WARMED = counter("feedmill_feed_lists_warmed_total")
log = get_logger(__name__)


class FeedWarmer:
    """Notices a new generation of Redis, and rebuilds the lists of readers that this process served recently."""

    def __init__(self, redis: Generation, source: ListSource, active: Callable[[], Iterable[int]]) -> None:
        self._redis = redis
        self._source = source
        self._active = active
        self._seen: bytes | None = None

    async def run(self) -> None:
        """Poll every second until cancelled."""
        while True:
            try:
                await self.poll()
            except UnavailableError as error:
                log.warning("redis_generation_unreadable", error=repr(error))
            await asyncio.sleep(POLL_S)

    async def poll(self) -> None:
        """Rebuild the lists if the generation changed since the last call. Raises UnavailableError."""
        generation = await self._redis.generation()
        if self._seen not in (None, generation):
            slots = asyncio.Semaphore(CONCURRENCY)
            await asyncio.gather(*(self._warm(reader_id, slots) for reader_id in self._active()))
        self._seen = generation

    async def _warm(self, reader_id: int, slots: asyncio.Semaphore) -> None:
        async with slots:
            try:
                await self._source.warm(reader_id)
            except UnavailableError as error:  # the reader's own read will build it
                log.warning("feed_list_not_warmed", error=repr(error))
            else:
                WARMED.inc()


class PageWarmer:
    """Assembles pages of returning readers again before their cached copies expire, one page at a time."""

    def __init__(self, returning: ReturningReaders, warm: Callable[[FirstPage, float], Awaitable[int]]) -> None:
        self._returning = returning
        self._warm = warm

    async def run(self) -> None:
        """Look for due pages every second until cancelled."""
        while True:
            await self.poll()
            await asyncio.sleep(POLL_S)

    async def poll(self) -> None:
        """Renew the pages that are due. A page that cannot be renewed is left alone for a while; never raises."""
        for page in self._returning.due():
            begun_s, age_s = time.monotonic(), 0
            try:
                age_s = await self._warm(page, self._returning.renew_s)
            except Exception as error:  # such as the error of a request of this reader, whose work is shared
                log.warning("page_not_warmed", error=repr(error))
            else:
                PAGES_WARMED.inc(0 if age_s else 1)
            self._returning.renewed(page, age_s)
            await asyncio.sleep(PAUSE * (time.monotonic() - begun_s))
