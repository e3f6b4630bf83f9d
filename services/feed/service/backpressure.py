"""The delay of fan-out. A task reads it every second, so that no request waits for it."""

import asyncio

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from services.feed.domain.feed import DeliveryPace
from services.feed.ports import BackpressureSource

LOOK_S = 1.0  # as often as workers publish their level
log = get_logger(__name__)


class BackpressureMonitor:
    """Knows the pace of pushed posts, as of about two seconds ago."""

    def __init__(self, board: BackpressureSource) -> None:
        self._board = board
        self.pace = DeliveryPace.UNKNOWN

    async def run(self) -> None:
        """Read the level every second, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Read the level once. Without Redis the pace is unknown."""
        try:
            self.pace = DeliveryPace.at(await self._board.read())
        except UnavailableError as error:
            self.pace = DeliveryPace.UNKNOWN
            log.warning("level_unknown", error=repr(error))
