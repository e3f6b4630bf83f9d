"""Consumes events about media and counts of posts."""

from collections.abc import Sequence

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.events import MediaDeleted, MediaFailed, MediaProcessed, PostCounted
from libs.media.readiness import MediaReadiness, MediaReadinessStore, MediaStatus
from services.post.ports import PostStore
from services.post.service.writer import PostWriter


class PostConsumers:
    """Event handlers of the post service. All are idempotent."""

    def __init__(self, writer: PostWriter, store: PostStore, readiness: MediaReadinessStore) -> None:
        self._writer = writer
        self._store = store
        self._readiness = readiness

    async def on_media(self, events: Sequence[ReceivedEvent]) -> None:
        """Publish or fail the posts that wait for these media."""
        for event in events:
            match event.payload:
                case MediaProcessed(media_id=media_id, owner_id=owner_id, document=document):
                    media = MediaReadiness(media_id, owner_id, MediaStatus.READY, None, document)
                case MediaFailed(media_id=media_id, owner_id=owner_id, reason=reason):
                    media = MediaReadiness(media_id, owner_id, MediaStatus.FAILED, reason, None)
                case MediaDeleted(media_id=media_id):
                    await self._readiness.delete_result(media_id)
                    continue
                case _:
                    continue
            await self._writer.media_finished(media)

    async def on_counters(self, events: Sequence[ReceivedEvent]) -> None:
        """Save the counts, which are shown while the interaction service is unavailable."""
        for event in events:
            if isinstance(event.payload, PostCounted):
                await self._store.save_counts(event.payload)
