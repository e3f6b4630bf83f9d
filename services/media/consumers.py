"""Consumes results of the media worker, and posts that show media."""

from collections.abc import Sequence

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.events import MediaFailed, MediaProcessed, PostCreated, PostDeleted
from services.media.domain import MediaUse, ProcessingStatus, StoredMedia
from services.media.service.library import MediaLibrary
from services.media.service.lifetime import Lifetime


class MediaLifecycleConsumers:
    """Event handlers of the media service. All are idempotent."""

    def __init__(self, library: MediaLibrary, lifetime: Lifetime) -> None:
        self._library = library
        self._lifetime = lifetime

    async def on_media(self, events: Sequence[ReceivedEvent]) -> None:
        """Store the result of each upload."""
        for event in events:
            match event.payload:
                case MediaProcessed(media_id=media_id, owner_id=owner_id, document=document):
                    await self._library.save_result(
                        StoredMedia(media_id, owner_id, ProcessingStatus.READY, document=document)
                    )
                case MediaFailed(media_id=media_id, owner_id=owner_id, reason=reason):
                    await self._library.save_result(
                        StoredMedia(media_id, owner_id, ProcessingStatus.FAILED, reason=reason)
                    )
                case _:
                    pass

    async def on_posts(self, events: Sequence[ReceivedEvent]) -> None:
        """Record which posts show media, and delete media with their last post.

        An author's events arrive in order, and media belong to one author.
        """
        uses: list[MediaUse] = []
        for event in events:
            match event.payload:
                case PostCreated(post_id=post_id, author_id=author_id, media_ids=media_ids):
                    uses += [MediaUse(media_id, author_id, post_id) for media_id in media_ids]
                case PostDeleted(post_id=post_id, media_ids=media_ids):
                    await self._lifetime.mark_used(uses)
                    uses = []
                    await self._lifetime.post_deleted(post_id, media_ids)
                case _:
                    pass
        await self._lifetime.mark_used(uses)
