"""Why a post is, or is not, in a feed: asked of everything that decides."""

import asyncio
from dataclasses import dataclass

from redis.exceptions import RedisError

from libs.common.core.errors import NotFoundError, UnavailableError
from libs.common.core.fairness import FairSemaphore
from libs.common.core.ids import now_ms
from libs.contracts.internal.post import RankingFeatures
from libs.feedlists import DeliveryStatus
from services.feed.domain.explanation import Reason, reason_of
from services.feed.domain.feed import Source, source_of
from services.feed.domain.ranking import Score, score
from services.feed.ports import (
    DeliveryProgressStore,
    FeedListStore,
    Graph,
    Posts,
    RemovalProgressStore,
    UnpushedRangeStore,
)
from services.feed.service.candidates import CandidateGatherer
from services.feed.service.paginator import FeedPaginator, Reader


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
    """Explains. For the rank the feed is read as its reader would, and so is built or healed."""

    def __init__(
        self,
        paginator: FeedPaginator,
        source: CandidateGatherer,
        graph: Graph,
        posts: Posts,
        lists: FeedListStore,
        unpushed_ranges: UnpushedRangeStore,
        ledger: DeliveryProgressStore,
        removals: RemovalProgressStore,
        ranking: FairSemaphore,
    ) -> None:
        self._paginator = paginator
        self._source = source
        self._graph = graph
        self._posts = posts
        self._lists = lists
        self._unpushed_ranges = unpushed_ranges
        self._ledger = ledger
        self._removals = removals
        self._ranking = ranking

    async def explain(self, user_id: int, post_id: int) -> Explanation:
        """Raises NotFoundError for a post that there is not, or that the reader may not see; UnavailableError."""
        record = (await self._posts.records([post_id])).get(post_id)
        if record is None:
            return await self._deleted(user_id, post_id)
        followees = await self._source.followees(user_id)
        source = source_of(record.author_id, user_id, followees)
        if source is None:
            relation = await self._graph.relation(user_id, record.author_id)
            if relation.hidden:
                raise NotFoundError
            return Explanation(post_id, Reason.MUTED if relation.muted else Reason.NOT_FOLLOWED)
        if post_id < self._source.window_start():
            return Explanation(post_id, Reason.BEYOND_WINDOW, source)
        reason, delivery = await self._reason(user_id, post_id, source)
        async with self._ranking.enter():
            order = (await self._paginator.order(Reader(user_id, followees))).order
        rank = order.index(post_id) + 1 if post_id in order else None
        counts = record.counts
        features = RankingFeatures(
            post_id, record.author_id, counts.like_count, counts.comment_count, counts.save_count
        )
        return Explanation(post_id, reason, source, rank, score(features, now_ms()), delivery)

    async def _deleted(self, user_id: int, post_id: int) -> Explanation:
        """For the author, and for who would see it had it not been deleted."""
        try:
            author_id, delivery, removal = await asyncio.gather(
                self._removals.author(post_id), self._ledger.of(post_id), self._removals.of(post_id)
            )
        except RedisError as error:
            raise UnavailableError("the ledger can't be read just now") from error
        if author_id is None or source_of(author_id, user_id, await self._source.followees(user_id)) is None:
            raise NotFoundError
        return Explanation(post_id, Reason.DELETED, delivery=delivery, removal=removal)

    async def _reason(self, user_id: int, post_id: int, source: Source) -> tuple[Reason, DeliveryStatus | None]:
        try:
            found, gaps, delivery = await asyncio.gather(
                self._lists.read(user_id), self._unpushed_ranges.of(user_id), self._ledger.of(post_id)
            )
        except RedisError as error:
            raise UnavailableError("the feed lists can't be read just now") from error
        healed = found.healed if found else 0
        reason = reason_of(
            post_id,
            source,
            found.post_ids if found and not found.building else None,
            is_cut_off=found is not None and not found.complete,
            in_gap=any(gap.gap_id > healed and gap.first_id <= post_id <= gap.last_id for gap in gaps),
            is_delivered=delivery.finished_at is not None if delivery else None,
        )
        return reason, delivery
