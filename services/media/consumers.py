"""The worker's verdicts, and the posts that show media."""

from collections.abc import Sequence

from libs.common.kafka.consumer import Delivery
from libs.contracts.events import MediaFailed, MediaProcessed, PostCreated, PostDeleted
from services.media.domain import Status, StoredMedia
from services.media.lifetime import Lifetime
from services.media.service import MediaLibrary

STATUS_GROUP = "media-status"
USES_GROUP = "media-uses"


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


class FollowPosts:
    """Handler of the topic `posts`. An author's posts come in order, and media belong to one author."""

    def __init__(self, lifetime: Lifetime) -> None:
        self._lifetime = lifetime

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        """Keep what posts show, and delete what the last one showed."""
        for delivery in deliveries:
            match delivery.payload:
                case PostCreated(post_id=post_id, author_id=author_id, media_ids=media_ids):
                    await self._lifetime.shown(post_id, author_id, media_ids)
                case PostDeleted(post_id=post_id, media_ids=media_ids):
                    await self._lifetime.post_deleted(post_id, media_ids)
                case _:
                    pass
