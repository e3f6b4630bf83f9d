"""The space in the object store, as metrics."""

import asyncio
from math import nan

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.telemetry.metrics import gauge
from services.media.ports import MediaObjects

MEASURE_EVERY_S = 60.0
USED = gauge("feedmill_storage_used_bytes")
CAPACITY = gauge("feedmill_storage_capacity_bytes")
log = get_logger(__name__)


class StorageMonitor:
    """Measures the space in the object store."""

    def __init__(self, objects: MediaObjects) -> None:
        self._objects = objects

    async def run(self) -> None:
        """Measure every minute until cancelled. A store without a limit has no figures, so no alert fires."""
        while True:
            await self.poll()
            await asyncio.sleep(MEASURE_EVERY_S)

    async def poll(self) -> None:
        """Measure once and set the metrics. Without the object store they keep their values; never raises."""
        try:
            space = await self._objects.space()
        except (UnavailableError, OSError) as error:
            log.warning("storage_not_measured", error=repr(error))
            return
        USED.set(space.used_bytes if space else nan)
        CAPACITY.set(space.capacity_bytes if space else nan)
