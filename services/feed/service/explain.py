"""Why a post is, or is not, in a feed: asked of everything that decides."""

import asyncio
from dataclasses import dataclass

from libs.common.core.errors import NotFoundError
from libs.common.core.fairness import FairSemaphore
from libs.common.core.ids import now_ms
from libs.contracts.internal.post import RankingFeatures
from libs.feedlists import DeliveryStatus
from services.feed.domain.explanation import Reason, reason_of
from services.feed.domain.feed import Source, source_of
from services.feed.domain.ranking import Score
from services.feed.ports import (
    DeliveryProgressStore,
    FeedListStore,
    Graph,
    Posts,
    Ranker,
    RemovalProgressStore,
    UnpushedRangeStore,
)
from services.feed.service.followees import Readers
from services.feed.service.paginator import FeedPaginator
from services.feed.service.window import FeedWindow


@dataclass(frozen=True, slots=True)
class Explanation:
    """The reason, and where the post ranks now (1 is first; None when it is not among those ranked).

    `removal` is how far its delete is.
    """

    post_id: int
    reason: Reason
    source: Source | None = None
    rank: int | None = None
    score: Score | None = None
    delivery: DeliveryStatus | None = None
    removal: DeliveryStatus | None = None


class FeedExplainer:
    """Asks every part that decides. For the rank it reads the feed as its reader would, which may build the list."""

    def __init__(
        self,
        paginator: FeedPaginator,
        readers: Readers,
        window: FeedWindow,
        ranker: Ranker,
        graph: Graph,
        posts: Posts,
        lists: FeedListStore,
        unpushed: UnpushedRangeStore,
        progress: DeliveryProgressStore,
        removals: RemovalProgressStore,
        ranking: FairSemaphore,
    ) -> None:
        self._paginator = paginator
        self._readers = readers
        self._window = window
        self._ranker = ranker
        self._graph = graph
        self._posts = posts
        self._lists = lists
        self._unpushed = unpushed
        self._progress = progress
        self._removals = removals
        self._ranking = ranking

    async def explain(self, user_id: int, post_id: int) -> Explanation:
        """Explain why a post is, or is not, in the feed.

        Raises:
            NotFoundError: the post does not exist, or the reader may not see it.
            UnavailableError: a store or service that decides is unavailable.
        """
        record = (await self._posts.records([post_id])).get(post_id)
        if record is None:
            return await self._deleted(user_id, post_id)
        reader = await self._readers.get(user_id)
        source = source_of(record.author_id, reader)
        if source is None:
            relation = await self._graph.relation(user_id, record.author_id)
            if relation.hidden:
                raise NotFoundError
            return Explanation(post_id, Reason.MUTED if relation.muted else Reason.NOT_FOLLOWED)
        if post_id < self._window.start():
            return Explanation(post_id, Reason.BEYOND_WINDOW, source)
        reason, delivery = await self._reason(user_id, post_id, source)
        async with self._ranking.enter():
            order = await self._paginator.order(reader)
        rank = order.index(post_id) + 1 if post_id in order else None
        counts = record.counts
        features = RankingFeatures(
            post_id, record.author_id, counts.like_count, counts.comment_count, counts.save_count
        )
        return Explanation(post_id, reason, source, rank, self._ranker.score(features, now_ms()), delivery)

    async def _deleted(self, user_id: int, post_id: int) -> Explanation:
        """Explain a deleted post to its author, and to readers who would see it otherwise."""
        author_id, delivery, removal = await asyncio.gather(
            self._removals.author(post_id), self._progress.of(post_id), self._removals.of(post_id)
        )
        if author_id is None or source_of(author_id, await self._readers.get(user_id)) is None:
            raise NotFoundError
        return Explanation(post_id, Reason.DELETED, delivery=delivery, removal=removal)

    async def _reason(self, user_id: int, post_id: int, source: Source) -> tuple[Reason, DeliveryStatus | None]:
        found, ranges, delivery = await asyncio.gather(
            self._lists.read(user_id), self._unpushed.of(user_id), self._progress.of(post_id)
        )
        merged_up_to = found.merged_up_to if found else 0
        reason = reason_of(
            post_id,
            source,
            found.post_ids if found and not found.building else None,
            is_cut_off=found is not None and not found.complete,
            is_unpushed=any(one.gap_id > merged_up_to and one.first_id <= post_id <= one.last_id for one in ranges),
            is_delivered=delivery.finished_at is not None if delivery else None,
        )
        return reason, delivery
