"""Events that change what feeds hold or what kept pages may show."""

from collections.abc import Sequence

from libs.common.kafka.consumer import Delivery
from libs.contracts.events import (
    FollowCreated,
    FollowDeleted,
    GraphEvent,
    MuteCreated,
    MuteDeleted,
    UserEvent,
)
from libs.feedlists import CAP
from services.feed.candidates import CandidateSource
from services.feed.ports import Acts, Cache, Graph, Lists, Posts


class FeedConsumers:
    """Handlers; each may run twice. The events of one follower come one after the other, rarely out of order."""

    def __init__(
        self, source: CandidateSource, graph: Graph, posts: Posts, lists: Lists, cache: Cache, acts: Acts
    ) -> None:
        self._source = source
        self._graph = graph
        self._posts = posts
        self._lists = lists
        self._cache = cache
        self._acts = acts

    async def on_events(self, deliveries: Sequence[Delivery]) -> None:
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
        touched = {user for payload in payloads for user in payload.touches()}
        outdated = {one for payload in payloads for one in payload.outdates()}
        between = [payload for payload in payloads if isinstance(payload, GraphEvent | UserEvent)]
        parted = {user for payload in between for user in (*payload.touches(), *payload.outdates())}
        await self._acts.mark(touched, outdated, parted)

    async def _bring(self, reader_id: int, author_id: int) -> None:
        """The author's posts into a list that exists; an absent one is built from all followees when read.

        Whoever is not followed after all leaves ids that are filtered when read. Kept followees are mended here: a read
        writes them only when they are not what it saw before, and it may not have seen that the author was gone.
        """
        kept = await self._cache.kept_followees(reader_id)
        if kept is not None and author_id not in kept.all:
            await self._cache.keep_followees(reader_id, await self._graph.followees(reader_id))
        recent = await self._posts.recent([author_id], self._source.window_start(), None, CAP)
        if recent:
            await self._lists.merge(reader_id, recent[author_id], finish=False)

    async def _forget(self, reader_id: int, author_id: int) -> None:
        """The author's posts out of the list, unless they belong there again: then they were brought, or will be."""
        await self._cache.forget_followee(reader_id, author_id)
        followees = await self._graph.followees(reader_id)
        if author_id in followees.all:
            await self._cache.keep_followees(reader_id, followees)
        elif recent := await self._posts.recent([author_id], self._source.window_start(), None, CAP):
            await self._lists.remove(reader_id, recent[author_id])
