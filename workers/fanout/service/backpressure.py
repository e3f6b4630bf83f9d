"""The backpressure level, computed from the lag every second."""

import asyncio

from libs.common.core.logging import get_logger
from libs.feedlists import BackpressureLevel
from libs.telemetry.metrics import gauge
from workers.fanout.domain import Thresholds, next_level
from workers.fanout.ports import BackpressureBoard, LagSource, PullStamps, UnpushedRangeLog

TICK_S = 1.0
DEADLINE_S = 10.0  # a later answer would be out of date
LAG = gauge("feedmill_fanout_lag_messages")
LEVEL = gauge("feedmill_fanout_backpressure_level")
log = get_logger(__name__)


class Backpressure:
    """Holds the level. Each worker starts from the published one, so that a restart does not reset it."""

    def __init__(
        self,
        lag: LagSource,
        board: BackpressureBoard,
        unpushed: UnpushedRangeLog,
        stamps: PullStamps,
        thresholds: Thresholds,
    ) -> None:
        self._lag = lag
        self._board = board
        self._unpushed = unpushed
        self._stamps = stamps
        self._thresholds = thresholds
        self.level = BackpressureLevel.NORMAL

    async def run(self) -> None:
        """Update the level every second until cancelled.

        Without Kafka the level is the one that other workers publish; without Redis it does not change.
        """
        while True:
            await self.try_update()
            await asyncio.sleep(TICK_S)

    async def try_update(self) -> None:
        """Update the level once; never raises."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self.update()
        except Exception as error:
            log.warning("lag_unknown", level=self.level, error=repr(error))

    async def update(self) -> None:
        """Measure the lag and set the level. Raises if Kafka or Redis does not answer.

        Below level 3 each call closes the unpushed range, because the worker that opened it may have died.
        """
        if await self._unpushed.open_after_failover():
            log.warning("feeds_may_lack_recent_writes")
            await self._stamps.bump_generation()
            await self._unpushed.mark_failover_handled()
        published = await self._board.read()
        if published is not None:
            self.level = published
        before, lag = self.level, await self._lag.total()
        self.level = next_level(before, lag, self._thresholds)
        LAG.set(lag)
        LEVEL.set(self.level)
        if self.level != before:
            log.warning("backpressure_level", level=self.level, before=before, lag=lag)
        if self.level < BackpressureLevel.PULL:
            await self._unpushed.close()
        await self._board.publish(self.level)
