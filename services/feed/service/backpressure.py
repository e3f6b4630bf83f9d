"""Polls the back pressure level of fan-out, so that no read waits for it."""

import asyncio

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from services.feed.domain.feed import DeliveryPace
from services.feed.ports import BackpressureSource

POLL_S = 1.0  # workers publish their level once a second, too
log = get_logger(__name__)


class BackpressureMonitor:
    """Implements `ports.DeliveryPaceSource`. The pace is at most about two seconds old."""

    def __init__(self, board: BackpressureSource) -> None:
        self._board = board
        self.pace = DeliveryPace.UNKNOWN

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self.poll()
            await asyncio.sleep(POLL_S)

    async def poll(self) -> None:
        """Read the level once. The pace is unknown while Redis is unavailable; never raises."""
        try:
            self.pace = DeliveryPace.at(await self._board.read())
        except UnavailableError as error:
            self.pace = DeliveryPace.UNKNOWN
            log.warning("backpressure_level_unreadable", error=repr(error))
