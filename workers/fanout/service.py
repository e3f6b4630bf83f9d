"""From new and deleted posts to the feeds of their authors' followers. A step that runs twice changes nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from prometheus_client import Counter, Histogram

from libs.feedlists import Range
from workers.fanout.domain import Level
from workers.fanout.ports import (
    Chunk,
    ChunkQueue,
    DeliveryLedger,
    Feeds,
    GapLog,
    Graph,
    Lane,
    Load,
    Post,
    PullBoard,
    RateLimit,
    RemovalLedger,
)

POSTS_AT_ONCE = 8  # of one partition: a small author does not wait while a large one is cut into chunks
DELIVERIES = Counter("feedmill_fanout_deliveries_total", "Feed entries written; a redelivery writes none.")
REMOVALS = Counter("feedmill_fanout_removals_total", "Feed entries of deleted posts that were taken out.")
POSTS = Counter("feedmill_fanout_posts_total", "Posts taken in, by the way they go.", ["mode"])
SKIPPED = Counter(
    "feedmill_fanout_skipped_total",
    "Left out for backpressure: lists of inactive readers, posts, deletes.",
    ["level", "what"],
)
FOLLOWERS = Histogram(
    "feedmill_fanout_followers",
    "Followers of authors whose posts are pushed.",
    buckets=(1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000),
)


class Delivery:
    """Pushes in one lane, at a limited rate or as fast as it goes. Holds one page of followers at a time."""

    def __init__(
        self, graph: Graph, feeds: Feeds, ledger: DeliveryLedger, load: Load, rate: RateLimit | None = None
    ) -> None:
        self._graph = graph
        self._feeds = feeds
        self._ledger = ledger
        self._load = load
        self._rate = rate

    async def at_once(self, post: Post, follower_count: int, ranges: Sequence[Range]) -> None:
        """Push to all followers of a small author."""
        delivered = await self.through(post, ranges)
        await self._ledger.delivered(post.post_id, follower_count=follower_count, delivered=delivered)

    async def through(self, post: Post, ranges: Sequence[Range]) -> int:
        """Push to the followers in these ranges; the feeds that have the post now."""
        delivered = 0
        for within in ranges:
            async for page in self._graph.followers(post.author_id, within):
                delivered += await self._page(post.post_id, page)
        return delivered

    async def chunk(self, chunk: Chunk) -> None:
        """Push to the followers in one range, from where the last attempt came to."""
        post, (start_id, up_to_id), is_done = chunk.post, chunk.within, False
        progress = await self._ledger.begun(post.post_id, start_id)
        if progress.is_done:
            return
        delivered = progress.delivered
        async for page in self._graph.followers(post.author_id, (progress.after_id, up_to_id)):
            delivered += await self._page(post.post_id, page)
            is_done = page[-1] == up_to_id
            await self._ledger.progressed(post.post_id, start_id, after_id=page[-1], delivered=delivered, done=is_done)
        if not is_done:  # the last one follows no more
            await self._ledger.progressed(post.post_id, start_id, after_id=up_to_id, delivered=delivered, done=True)

    async def _page(self, post_id: int, page: Sequence[int]) -> int:
        if self._rate is not None:
            await self._rate.take(len(page))
        return await self._apply(post_id, page)

    async def _apply(self, post_id: int, page: Sequence[int]) -> int:
        """The feeds that have the post now."""
        level = self._load.level
        pushed = await self._feeds.deliver(page, [post_id], active_only=level >= Level.ACTIVE_ONLY)
        DELIVERIES.inc(pushed.written)
        if pushed.dropped:
            SKIPPED.labels(int(level), "list").inc(pushed.dropped)
        return pushed.written + pushed.held


class Removal(Delivery):
    """The same for deletes: lists are to be without the post."""

    async def _apply(self, post_id: int, page: Sequence[int]) -> int:
        """The feeds that are without the post now."""
        withdrawn = await self._feeds.withdraw(page, post_id)
        REMOVALS.inc(withdrawn.taken)
        return withdrawn.taken + withdrawn.without


@dataclass(frozen=True, slots=True)
class Ledgers:
    """Of posts, and of deletes."""

    posts: DeliveryLedger
    removals: RemovalLedger


class Fanout:
    """Decides which way each post, and each delete, goes."""

    def __init__(
        self,
        graph: Graph,
        deliveries: Mapping[Lane, Delivery],
        removals: Mapping[Lane, Removal],
        queue: ChunkQueue,
        ledgers: Ledgers,
        gaps: GapLog,
        load: Load,
        pulls: PullBoard,
        *,
        chunk_followers: int,
        slow_lane_from: int,
    ) -> None:
        self._graph = graph
        self._deliveries = deliveries
        self._removals = removals
        self._queue = queue
        self._ledgers = ledgers
        self._gaps = gaps
        self._load = load
        self._pulls = pulls
        self._chunk_followers = chunk_followers
        self._slow_lane_from = slow_lane_from

    async def take_posts(self, posts: Sequence[Post]) -> None:
        """Push each post, queue it, or leave it to readers, in any order: lists have their own."""
        for start in range(0, len(posts), POSTS_AT_ONCE):
            if self._load.level >= Level.PULL:
                await self._skip({post.post_id for post in posts[start:]})
                return
            await _all(self._take(post) for post in posts[start : start + POSTS_AT_ONCE])

    async def take_deletes(self, posts: Sequence[Post]) -> None:
        """Take each deleted post out of lists, or leave that to their readers, who are not shown it anyway."""
        for start in range(0, len(posts), POSTS_AT_ONCE):
            some = posts[start : start + POSTS_AT_ONCE]
            await _all(self._ledgers.removals.note(post.post_id, post.author_id) for post in some)
            if self._load.level >= Level.PULL:
                await self._skip_deletes({post.post_id for post in some})
            else:
                await _all(map(self._remove, some))

    async def take_chunks(self, lane: Lane, chunks: Sequence[Chunk]) -> None:
        """Deliver each chunk."""
        for position, chunk in enumerate(chunks):
            if self._load.level >= Level.PULL:
                left = chunks[position:]
                await self._skip({chunk.post.post_id for chunk in left if not chunk.removes})
                await self._skip_deletes({chunk.post.post_id for chunk in left if chunk.removes})
                return
            if chunk.removes:
                await self._removals[lane].chunk(chunk)
            else:
                push = partial(self._deliveries[lane].chunk, chunk)
                await self._unless_deleted(lane, chunk.post, [chunk.within], push)

    async def _take(self, post: Post) -> None:
        """Push at once where one chunk is enough, else hand chunks to all workers; readers pull pull authors."""
        audience = await self._graph.audience(post.author_id)
        if audience is None:
            return
        count = audience.follower_count
        if not audience.is_push:
            POSTS.labels("pull").inc()
            await self._ledgers.posts.planned(post.post_id, mode="pull", follower_count=count)
            await self._pulls.mark_pulled()
            return
        lane = self._lane(count)
        POSTS.labels(lane).inc()
        FOLLOWERS.observe(count)
        ranges = await self._graph.ranges(post.author_id, self._chunk_followers)
        if lane == "push" and len(ranges) <= 1:
            push = partial(self._deliveries[lane].at_once, post, count, ranges)
            await self._unless_deleted(lane, post, ranges, push)
            return
        planned = await self._ledgers.posts.planned(post.post_id, mode=lane, follower_count=count, chunks=ranges)
        await self._queue.put(lane, [Chunk(post, within) for within in planned])

    async def _remove(self, post: Post) -> None:
        """The same ways for a delete. A post that was not pushed, or before the ledger's time, is in few lists."""
        state, ledger = await self._ledgers.posts.of(post.post_id), self._ledgers.removals
        audience = await self._graph.audience(post.author_id)
        if state is None or state.mode == "pull" or audience is None:
            await ledger.planned(post.post_id, mode="pull", follower_count=0)
            return
        count, lane = audience.follower_count, self._lane(audience.follower_count)
        ranges = await self._graph.ranges(post.author_id, self._chunk_followers)
        if lane == "push" and len(ranges) <= 1:
            await self._removals[lane].at_once(post, count, ranges)
            return
        planned = await ledger.planned(post.post_id, mode=lane, follower_count=count, chunks=ranges)
        await self._queue.put(lane, [Chunk(post, within, removes=True) for within in planned])

    def _lane(self, follower_count: int) -> Lane:
        return "slow" if follower_count >= self._slow_lane_from else "push"

    async def _unless_deleted(
        self, lane: Lane, post: Post, ranges: Sequence[Range], push: Callable[[], Awaitable[None]]
    ) -> None:
        """Push, but never a post that is deleted.

        A delete is noted before it is carried out. So one that is not found after the push comes after it, and one that
        is found may have gone before: what was pushed meanwhile, or by an attempt that was broken off, is taken back.
        """
        if not await self._is_deleted(post):
            await push()
        if await self._is_deleted(post):
            await self._removals[lane].through(post, ranges)

    async def _is_deleted(self, post: Post) -> bool:
        return bool(await self._ledgers.removals.known([post.post_id]))

    async def _skip(self, post_ids: Collection[int]) -> None:
        await self._gaps.extend(post_ids)
        await self._ledgers.posts.skipped(post_ids)
        POSTS.labels("skipped").inc(len(post_ids))
        SKIPPED.labels(int(Level.PULL), "post").inc(len(post_ids))

    async def _skip_deletes(self, post_ids: Collection[int]) -> None:
        """Readers are not shown them, and take them out of their lists when they come to them."""
        await self._ledgers.removals.skipped(post_ids)
        SKIPPED.labels(int(Level.PULL), "delete").inc(len(post_ids))


async def _all(work: Iterable[Awaitable[None]]) -> None:
    """Side by side. What failed is raised when the others are done, so that nothing goes on behind a retry."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if outcome is not None:
            raise outcome
