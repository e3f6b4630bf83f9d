"""The event handlers of the media worker."""

from collections.abc import Sequence

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.events import MediaDeleted, MediaFailed, MediaProcessed, MediaUploaded
from libs.contracts.failures import FailureReason
from workers.media.domain.picture import Refused
from workers.media.service.processing import UploadProcessor


class UploadConsumers:
    """The handlers of the topic `media`."""

    def __init__(self, processing: UploadProcessor) -> None:
        self._processing = processing

    async def on_media(self, events: Sequence[ReceivedEvent]) -> None:
        """Process uploads. When this returns, their results are published."""
        for event in events:
            match event.payload:
                case MediaUploaded() as upload:
                    await self._processing.process(upload)
                case (
                    MediaProcessed(media_id=media_id, owner_id=owner_id)
                    | MediaFailed(media_id=media_id, owner_id=owner_id)
                    | MediaDeleted(media_id=media_id, owner_id=owner_id)
                ):
                    self._processing.mark_finished(owner_id, media_id)
                case _:
                    pass

    async def on_dead_letter(self, event: ReceivedEvent) -> None:
        """Publish the failure of the upload, so that its owner does not wait for it."""
        if isinstance(event.payload, MediaUploaded):
            await self._processing.fail(
                event.payload, Refused(FailureReason.PROCESSING_FAILED, "moved to the dead letters")
            )
