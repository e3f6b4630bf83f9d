"""Events that change what feeds hold or what kept pages may show."""

from collections.abc import Sequence

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.events import (
    FollowCreated,
    FollowDeleted,
    MuteCreated,
    MuteDeleted,
)
from libs.feedlists import CAP
from services.feed.ports import Cache, FeedListStore, Graph, Posts, Stamps
from services.feed.service.candidates import CandidateGatherer


class FeedConsumers:
    """Handlers; each may run twice. The events of one follower come one after the other, rarely out of order."""

    def __init__(
        self, source: CandidateGatherer, graph: Graph, posts: Posts, lists: FeedListStore, cache: Cache, stamps: Stamps
    ) -> None:
        self._source = source
        self._graph = graph
        self._posts = posts
        self._lists = lists
        self._cache = cache
        self._stamps = stamps

    async def on_events(self, deliveries: Sequence[ReceivedEvent]) -> None:
        """One partition's events, in order."""
        payloads = [delivery.payload for delivery in deliveries]
        for payload in payloads:
            match payload:
                case (
                    FollowCreated(follower_id=reader_id, followee_id=author_id)
                    | MuteDeleted(muter_id=reader_id, muted_id=author_id)
                ):
                    await self._bring(reader_id, author_id)
                case (
                    FollowDeleted(follower_id=reader_id, followee_id=author_id)
                    | MuteCreated(muter_id=reader_id, muted_id=author_id)
                ):
                    await self._forget(reader_id, author_id)
        await self._stamps.invalidate(payloads)

    async def _bring(self, reader_id: int, author_id: int) -> None:
        """The author's posts into a list that exists; an absent one is built from all followees when read.

        Whoever is not followed after all leaves ids that are filtered when read. Kept followees are mended here: a read
        writes them only when they are not what it saw before, and it may not have seen that the author was gone.
        """
        kept = await self._cache.cached_followees(reader_id)
        if kept is not None and author_id not in kept.all:
            await self._cache.cache_followees(reader_id, await self._graph.followees(reader_id))
        recent = await self._posts.recent([author_id], self._source.window_start(), None, CAP)
        if recent:
            await self._lists.merge(reader_id, recent[author_id], finish=False)

    async def _forget(self, reader_id: int, author_id: int) -> None:
        """The author's posts out of the list, unless they belong there again: then they were brought, or will be."""
        await self._cache.forget_followee(reader_id, author_id)
        followees = await self._graph.followees(reader_id)
        if author_id in followees.all:
            await self._cache.cache_followees(reader_id, followees)
        elif recent := await self._posts.recent([author_id], self._source.window_start(), None, CAP):
            await self._lists.remove(reader_id, recent[author_id])
