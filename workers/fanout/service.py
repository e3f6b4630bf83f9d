"""From new posts to the feeds of their authors' followers. Each step may run twice and changes nothing then."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

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
)

POSTS_AT_ONCE = 8  # of one partition: a small author does not wait while a large one is cut into chunks
DELIVERIES = Counter("feedmill_fanout_deliveries_total", "Feed entries written; a redelivery writes none.")
POSTS = Counter("feedmill_fanout_posts_total", "Posts taken in, by the way they go.", ["mode"])
SKIPPED = Counter(
    "feedmill_fanout_skipped_total", "Not pushed for backpressure: lists of inactive readers, posts.", ["level", "what"]
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
        delivered = 0
        for within in ranges:
            async for page in self._graph.followers(post.author_id, within):
                delivered += await self._push(post.post_id, page)
        await self._ledger.delivered(post.post_id, follower_count=follower_count, delivered=delivered)

    async def chunk(self, chunk: Chunk) -> None:
        """Push to the followers in one range, from where the last attempt came to."""
        post, (start_id, up_to_id), is_done = chunk.post, chunk.within, False
        progress = await self._ledger.begun(post.post_id, start_id)
        if progress.is_done:
            return
        delivered = progress.delivered
        async for page in self._graph.followers(post.author_id, (progress.after_id, up_to_id)):
            delivered += await self._push(post.post_id, page)
            is_done = page[-1] == up_to_id
            await self._ledger.progressed(post.post_id, start_id, after_id=page[-1], delivered=delivered, done=is_done)
        if not is_done:  # the last one follows no more
            await self._ledger.progressed(post.post_id, start_id, after_id=up_to_id, delivered=delivered, done=True)

    async def _push(self, post_id: int, page: Sequence[int]) -> int:
        """The feeds that have the post now."""
        if self._rate is not None:
            await self._rate.take(len(page))
        level = self._load.level
        pushed = await self._feeds.deliver(page, [post_id], active_only=level >= Level.ACTIVE_ONLY)
        DELIVERIES.inc(pushed.written)
        if pushed.dropped:
            SKIPPED.labels(int(level), "list").inc(pushed.dropped)
        return pushed.written + pushed.held


class Fanout:
    """Decides which way each post goes."""

    def __init__(
        self,
        graph: Graph,
        deliveries: Mapping[Lane, Delivery],
        queue: ChunkQueue,
        ledger: DeliveryLedger,
        gaps: GapLog,
        load: Load,
        pulls: PullBoard,
        *,
        chunk_followers: int,
        slow_lane_from: int,
    ) -> None:
        self._graph = graph
        self._deliveries = deliveries
        self._queue = queue
        self._ledger = ledger
        self._gaps = gaps
        self._load = load
        self._pulls = pulls
        self._chunk_followers = chunk_followers
        self._slow_lane_from = slow_lane_from

    async def take_posts(self, posts: Sequence[Post]) -> None:
        """Push each post, queue it, or leave it to readers, in any order: lists have their own."""
        for start in range(0, len(posts), POSTS_AT_ONCE):
            if self._load.level >= Level.PULL:
                await self._skip([post.post_id for post in posts[start:]])
                return
            work = (self._take(post) for post in posts[start : start + POSTS_AT_ONCE])
            for outcome in await asyncio.gather(*work, return_exceptions=True):
                if outcome is not None:  # raised only now, so that nothing goes on behind a retry
                    raise outcome

    async def take_chunks(self, lane: Lane, chunks: Sequence[Chunk]) -> None:
        """Deliver each chunk."""
        for position, chunk in enumerate(chunks):
            if self._load.level >= Level.PULL:
                await self._skip({chunk.post.post_id for chunk in chunks[position:]})
                return
            await self._deliveries[lane].chunk(chunk)

    async def _take(self, post: Post) -> None:
        """Push at once where one chunk is enough, else hand chunks to all workers; readers pull pull authors."""
        audience = await self._graph.audience(post.author_id)
        if audience is None:
            return
        count = audience.follower_count
        if not audience.is_push:
            POSTS.labels("pull").inc()
            await self._ledger.planned(post.post_id, mode="pull", follower_count=count)
            await self._pulls.mark_pulled()
            return
        lane: Lane = "slow" if count >= self._slow_lane_from else "push"
        POSTS.labels(lane).inc()
        FOLLOWERS.observe(count)
        ranges = await self._graph.ranges(post.author_id, self._chunk_followers)
        if lane == "push" and len(ranges) <= 1:
            await self._deliveries[lane].at_once(post, count, ranges)
            return
        planned = await self._ledger.planned(post.post_id, mode=lane, follower_count=count, chunks=ranges)
        await self._queue.put(lane, post, planned)

    async def _skip(self, post_ids: Collection[int]) -> None:
        await self._gaps.extend(post_ids)
        await self._ledger.skipped(post_ids)
        POSTS.labels("skipped").inc(len(post_ids))
        SKIPPED.labels(int(Level.PULL), "post").inc(len(post_ids))
