"""The worker's verdicts."""

from collections.abc import Sequence

from libs.common.contracts.events import MediaFailed, MediaProcessed
from libs.common.kafka.consumer import Delivery
from services.media.domain import Status, StoredMedia
from services.media.service import MediaLibrary

STATUS_GROUP = "media-status"


class SettleMedia:
    """Handler of the topic `media`."""

    def __init__(self, library: MediaLibrary) -> None:
        self._library = library

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        """Keep each verdict."""
        for delivery in deliveries:
            match delivery.payload:
                case MediaProcessed(media_id=media_id, owner_id=owner_id, document=document):
                    await self._library.settle(StoredMedia(media_id, owner_id, Status.READY, document=document))
                case MediaFailed(media_id=media_id, owner_id=owner_id, reason=reason):
                    await self._library.settle(StoredMedia(media_id, owner_id, Status.FAILED, reason=reason))
                case _:
                    pass
