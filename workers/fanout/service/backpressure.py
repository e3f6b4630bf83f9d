"""What to do about the lag, looked at every second."""

import asyncio

from prometheus_client import Gauge

from libs.common.core.logging import get_logger
from workers.fanout.domain import Level, Thresholds, next_level
from workers.fanout.ports import LagSource, LevelBoard, PullStamps, UnpushedRangeLog

TICK_S = 1.0
DEADLINE_S = 10.0  # an answer older than this says nothing about now
LAG = Gauge("feedmill_fanout_lag_messages", "Messages that the fan-out groups have not committed.")
LEVEL = Gauge("feedmill_fanout_backpressure_level", "0 normal, 1 behind, 2 active readers only, 3 pull for all.")
log = get_logger(__name__)


class Backpressure:
    """Knows the level. All workers go on from the published one, so that a restart does not forget it."""

    def __init__(
        self, lag: LagSource, board: LevelBoard, gaps: UnpushedRangeLog, pulls: PullStamps, thresholds: Thresholds
    ) -> None:
        self._lag = lag
        self._board = board
        self._gaps = gaps
        self._pulls = pulls
        self._thresholds = thresholds
        self.level = Level.NORMAL

    async def run(self) -> None:
        """Look every second until cancelled. Without Kafka the level is what others publish, without Redis it stays."""
        while True:
            await self.look()
            await asyncio.sleep(TICK_S)

    async def look(self) -> None:
        """Once; never raises."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self.tick()
        except Exception as error:
            log.warning("lag_unknown", level=self.level, error=repr(error))

    async def tick(self) -> None:
        """Measure and switch. Outside level 3 the gap is closed again and again: whoever opened it may be gone."""
        if await self._gaps.settle():
            log.warning("feeds_may_lack_the_last_writes")
            await self._pulls.bump_generation()
            await self._gaps.settled()
        published = await self._board.read()
        if published is not None:
            self.level = Level(published)
        before, lag = self.level, await self._lag.total()
        self.level = next_level(before, lag, self._thresholds)
        LAG.set(lag)
        LEVEL.set(self.level)
        if self.level != before:
            log.warning("backpressure_level", level=self.level, before=before, lag=lag)
        if self.level < Level.PULL:
            await self._gaps.close()
        await self._board.publish(self.level)
