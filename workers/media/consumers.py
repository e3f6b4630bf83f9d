"""Uploads that wait for their variants."""

from collections.abc import Sequence

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.events import MediaDeleted, MediaFailed, MediaProcessed, MediaUploaded
from libs.contracts.failures import FailureReason
from workers.media.domain.picture import Refused
from workers.media.service.processing import Processing


class MediaConsumers:
    """Handlers of the topic `media`."""

    def __init__(self, processing: Processing) -> None:
        self._processing = processing

    async def on_media(self, deliveries: Sequence[ReceivedEvent]) -> None:
        """Process uploads; the verdicts are published when this returns."""
        for delivery in deliveries:
            match delivery.payload:
                case MediaUploaded() as upload:
                    await self._processing.process(upload)
                case (
                    MediaProcessed(media_id=media_id, owner_id=owner_id)
                    | MediaFailed(media_id=media_id, owner_id=owner_id)
                    | MediaDeleted(media_id=media_id, owner_id=owner_id)
                ):
                    self._processing.settled(owner_id, media_id)
                case _:
                    pass

    async def on_dead_letter(self, delivery: ReceivedEvent) -> None:
        """The person need not wait for an upload that could not be handled."""
        if isinstance(delivery.payload, MediaUploaded):
            await self._processing.fail(
                delivery.payload, Refused(FailureReason.PROCESSING_FAILED, "moved to the dead letters")
            )
