"""Uploads that wait for their variants."""

from collections.abc import Sequence

from libs.common.contracts.events import MediaUploaded
from libs.common.kafka.consumer import Delivery
from workers.media.service import Processing

GROUP = "media-worker"


class ProcessUploads:
    """Handler of the topic `media`."""

    def __init__(self, processing: Processing) -> None:
        self._processing = processing

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        """Process each upload; the verdicts are published when this returns."""
        await self._processing.process_all([d.payload for d in deliveries if isinstance(d.payload, MediaUploaded)])
