"""Events that change feed lists, or what cached pages may show."""

from collections.abc import Sequence

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.events import (
    FollowCreated,
    FollowDeleted,
    MuteCreated,
    MuteDeleted,
)
from libs.feedlists import CAP
from services.feed.ports import Cache, FeedListStore, Posts, Stamps
from services.feed.service.followees import Readers
from services.feed.service.window import FeedWindow


class FeedConsumers:
    """Event handlers. The events of one follower come in order, with rare exceptions."""

    def __init__(
        self,
        readers: Readers,
        window: FeedWindow,
        posts: Posts,
        lists: FeedListStore,
        cache: Cache,
        stamps: Stamps,
    ) -> None:
        self._readers = readers
        self._window = window
        self._posts = posts
        self._lists = lists
        self._cache = cache
        self._stamps = stamps

    async def on_events(self, events: Sequence[ReceivedEvent]) -> None:
        """Change the lists that the events concern, then write all invalidation stamps."""
        payloads = [event.payload for event in events]
        for payload in payloads:
            match payload:
                case (
                    FollowCreated(follower_id=reader_id, followee_id=author_id)
                    | MuteDeleted(muter_id=reader_id, muted_id=author_id)
                ):
                    await self._add_author(reader_id, author_id)
                case (
                    FollowDeleted(follower_id=reader_id, followee_id=author_id)
                    | MuteCreated(muter_id=reader_id, muted_id=author_id)
                ):
                    await self._remove_author(reader_id, author_id)
        await self._stamps.invalidate(payloads)

    async def _add_author(self, reader_id: int, author_id: int) -> None:
        """Merge the author's posts into a list that exists; an absent one is built from all followees when read.

        If the follow has ended meanwhile, reads filter these ids. The cached followees are refreshed here, because a
        read rewrites them only when they differ from what its process wrote last. That process may have missed the
        unfollow.
        """
        cached = await self._cache.cached_followees(reader_id)
        if cached is not None and author_id not in cached.all:
            await self._readers.refresh(reader_id)
        if recent := await self._recent(author_id):
            await self._lists.merge(reader_id, recent, finish=False)

    async def _remove_author(self, reader_id: int, author_id: int) -> None:
        """Remove the author's posts, unless the reader follows again: then another event added them, or will."""
        await self._cache.forget_followee(reader_id, author_id)
        reader = await self._readers.refresh(reader_id)
        if author_id not in reader.followees.all and (recent := await self._recent(author_id)):
            await self._lists.remove(reader_id, recent)

    async def _recent(self, author_id: int) -> list[int]:
        return (await self._posts.recent([author_id], self._window.start(), None, CAP)).get(author_id, [])
