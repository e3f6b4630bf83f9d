"""The number of readers of feeds in the last 5 minutes and 24 hours."""

import asyncio
from itertools import islice

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.telemetry.metrics import gauge
from services.feed.ports import ReadersLog

POLL_S = 15.0  # the scrape interval
READERS_MAX = 100_000  # in memory, about 10 MB; later readers of the interval are not counted
ACTIVE = gauge("feedmill_feed_active_readers")
log = get_logger(__name__)


class ActiveReaders:
    """Collects the readers that this process serves, and publishes the number of readers of all processes."""

    def __init__(self, readers: ReadersLog) -> None:
        self._readers = readers
        self._noted = set[int]()

    def note(self, user_id: int) -> None:
        """Note that the user reads the feed."""
        if len(self._noted) < READERS_MAX:
            self._noted.add(user_id)

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            await self.poll()

    async def poll(self) -> None:
        """Write the noted readers, and set the metric. Without Redis both wait; never raises."""
        noted, self._noted = self._noted, set()
        try:
            counts = await self._readers.add(noted)
        except UnavailableError as error:
            self._noted |= set(islice(noted, max(0, READERS_MAX - len(self._noted))))
            log.warning("active_readers_unknown", error=repr(error))
            return
        for window, count in counts.items():
            ACTIVE.labels(window).set(count)
