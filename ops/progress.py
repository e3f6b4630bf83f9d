"""The progress of all consumer groups, and whether Kafka answers, as metrics."""

import asyncio
from collections.abc import Mapping

from libs.common.core.logging import get_logger
from libs.common.core.settings import Settings
from libs.common.kafka.lag import GroupProgress, LagMeter
from libs.deployables import DEPLOYABLES
from libs.telemetry.metrics import counter, gauge

EVERY_S = 15.0  # the scrape interval
DEADLINE_S = 10.0  # a later answer would be out of date
GROUPS = {group: topics for one in DEPLOYABLES for group, topics in one.consumes.items()}
LAG = gauge("feedmill_consumer_lag_messages")
COMMITTED = counter("feedmill_consumer_committed_total")
KAFKA_UP = gauge("feedmill_kafka_up")
log = get_logger(__name__)


class ProgressRecorder:
    """Turns committed offsets into counters. They count from the first reading on."""

    def __init__(self) -> None:
        self._committed: dict[str, int] = {}

    def record(self, groups: Mapping[str, GroupProgress]) -> None:
        """Set the metrics. Offsets that went back, because somebody reset them, count nothing."""
        KAFKA_UP.set(1)
        for group, now in groups.items():
            if not now.committed and self._committed.get(group):
                continue  # Kafka has started again, and does not know the offsets yet
            before = self._committed.get(group, now.committed)
            LAG.labels(group).set(now.lag)
            COMMITTED.labels(group).inc(max(0, now.committed - before))
            self._committed[group] = now.committed


async def watch(settings: Settings) -> None:
    """Record the progress every 15 s until cancelled. While Kafka does not answer, the last values stay."""
    recorder = ProgressRecorder()
    while True:
        try:
            async with LagMeter(settings) as meter:
                while True:
                    async with asyncio.timeout(DEADLINE_S * settings.timeout_factor):
                        recorder.record(await meter.progress(GROUPS))
                    await asyncio.sleep(EVERY_S)
        except Exception as error:  # uvloop raises RuntimeError for a connection that has been closed
            KAFKA_UP.set(0)
            log.warning("consumer_progress_unknown", error=repr(error))
            await asyncio.sleep(EVERY_S)
