"""Events that change posts from outside."""

from collections.abc import Sequence

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.events import MediaDeleted, MediaFailed, MediaProcessed, PostCounted
from services.post.domain import MediaState, MediaStatus
from services.post.ports import PostStore
from services.post.service.writer import PostWriter


class PostConsumers:
    """Handlers; each may run twice."""

    def __init__(self, writer: PostWriter, store: PostStore) -> None:
        self._writer = writer
        self._store = store

    async def on_media(self, deliveries: Sequence[ReceivedEvent]) -> None:
        """Publish the posts whose media are through."""
        for delivery in deliveries:
            match delivery.payload:
                case MediaProcessed(media_id=media_id, owner_id=owner_id, document=document):
                    outcome = MediaState(media_id, owner_id, MediaStatus.READY, None, document)
                case MediaFailed(media_id=media_id, owner_id=owner_id, reason=reason):
                    outcome = MediaState(media_id, owner_id, MediaStatus.FAILED, reason, None)
                case MediaDeleted(media_id=media_id):
                    await self._store.forget_outcome(media_id)
                    continue
                case _:
                    continue
            await self._writer.media_done(outcome)

    async def on_counters(self, deliveries: Sequence[ReceivedEvent]) -> None:
        """Keep the counts for the time that the interaction service is away."""
        for delivery in deliveries:
            if isinstance(delivery.payload, PostCounted):
                await self._store.keep_counts(delivery.payload)
