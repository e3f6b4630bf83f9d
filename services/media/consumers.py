"""Results of the media worker, and the posts that show media."""

from collections.abc import Sequence

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.events import MediaFailed, MediaProcessed, PostCreated, PostDeleted
from services.media.domain import Status, StoredMedia
from services.media.service.library import MediaLibrary
from services.media.service.lifetime import Lifetime


class MediaConsumers:
    """Event handlers."""

    def __init__(self, library: MediaLibrary, lifetime: Lifetime) -> None:
        self._library = library
        self._lifetime = lifetime

    async def on_media(self, events: Sequence[ReceivedEvent]) -> None:
        """Store the result of each upload."""
        for event in events:
            match event.payload:
                case MediaProcessed(media_id=media_id, owner_id=owner_id, document=document):
                    await self._library.settle(StoredMedia(media_id, owner_id, Status.READY, document=document))
                case MediaFailed(media_id=media_id, owner_id=owner_id, reason=reason):
                    await self._library.settle(StoredMedia(media_id, owner_id, Status.FAILED, reason=reason))
                case _:
                    pass

    async def on_posts(self, events: Sequence[ReceivedEvent]) -> None:
        """Record which media posts show, and delete a medium with its last post.

        An author's posts come in order, and each medium belongs to one author.
        """
        for event in events:
            match event.payload:
                case PostCreated(post_id=post_id, author_id=author_id, media_ids=media_ids):
                    await self._lifetime.shown(post_id, author_id, media_ids)
                case PostDeleted(post_id=post_id, media_ids=media_ids):
                    await self._lifetime.post_deleted(post_id, media_ids)
                case _:
                    pass
