"""From new and deleted posts to the feeds of their authors' followers. A step that runs twice changes nothing."""

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Counter, Histogram

from libs.contracts.internal.user import AudienceRecord
from libs.feedlists import PushResult, Range
from workers.fanout.domain import Level
from workers.fanout.ports import (
    Chunk,
    ChunkQueue,
    DeliveredPost,
    DeliveryLedger,
    DeliveryRate,
    Feeds,
    FollowerSource,
    Lane,
    LoadLevel,
    PullStamps,
    RemovalLedger,
    UnpushedRangeLog,
)

POSTS_AT_ONCE = 64  # of one partition: their authors are asked for together, and small ones share calls
SMALL_AUTHOR = 1_000  # followers that come with the answer; so many posts' worth of ids are some megabytes
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
        self,
        graph: FollowerSource,
        feeds: Feeds,
        ledger: DeliveryLedger,
        load: LoadLevel,
        rate: DeliveryRate | None = None,
    ) -> None:
        self._graph = graph
        self._feeds = feeds
        self._ledger = ledger
        self._load = load
        self._rate = rate

    async def at_once(self, posts: Sequence[tuple[DeliveredPost, AudienceRecord]]) -> None:
        """Push each post to all followers of its small author."""
        level = self._load.level
        pushed = await self._feeds.deliver_each(
            [(post.post_id, audience.followers or ()) for post, audience in posts],
            active_only=level >= Level.ACTIVE_ONLY,
        )
        for one in pushed:
            self._count(level, one)
        await self._ledger.delivered(
            (post.post_id, audience.follower_count, one.written + one.held)
            for (post, audience), one in zip(posts, pushed, strict=True)
        )

    async def through(self, post: DeliveredPost, within: Range) -> None:
        """Push to the followers in the range."""
        async for page in self._graph.followers(post.author_id, within):
            await self.page(post.post_id, page)

    async def chunk(self, chunk: Chunk) -> None:
        """Push to the followers in one range, from where the last attempt came to."""
        post, (start_id, up_to_id), is_done = chunk.post, chunk.within, False
        progress = await self._ledger.begun(post.post_id, start_id)
        if progress.is_done:
            return
        delivered = progress.delivered
        async for page in self._graph.followers(post.author_id, (progress.after_id, up_to_id)):
            delivered += await self.page(post.post_id, page)
            is_done = page[-1] == up_to_id
            await self._ledger.progressed(post.post_id, start_id, after_id=page[-1], delivered=delivered, done=is_done)
        if not is_done:  # the last one follows no more
            await self._ledger.progressed(post.post_id, start_id, after_id=up_to_id, delivered=delivered, done=True)

    async def page(self, post_id: int, page: Sequence[int]) -> int:
        """Push to these readers; the feeds that took it."""
        if self._rate is not None:
            await self._rate.take(len(page))
        return await self._apply(post_id, page)

    async def _apply(self, post_id: int, page: Sequence[int]) -> int:
        """The feeds that have the post now."""
        level = self._load.level
        pushed = await self._feeds.deliver(page, [post_id], active_only=level >= Level.ACTIVE_ONLY)
        self._count(level, pushed)
        return pushed.written + pushed.held

    @staticmethod
    def _count(level: Level, pushed: PushResult) -> None:
        DELIVERIES.inc(pushed.written)
        if pushed.dropped:
            SKIPPED.labels(int(level), "list").inc(pushed.dropped)


class Removal(Delivery):
    """The same for deletes: lists are to be without the post."""

    async def at_once(self, posts: Sequence[tuple[DeliveredPost, AudienceRecord]]) -> None:
        """Take each post from all followers of its small author."""
        for post, audience in posts:
            removed = await self.page(post.post_id, audience.followers or ())
            await self._ledger.delivered([(post.post_id, audience.follower_count, removed)])

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
        graph: FollowerSource,
        deliveries: Mapping[Lane, Delivery],
        removals: Mapping[Lane, Removal],
        queue: ChunkQueue,
        ledgers: Ledgers,
        gaps: UnpushedRangeLog,
        load: LoadLevel,
        pulls: PullStamps,
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

    async def take_posts(self, posts: Sequence[DeliveredPost]) -> None:
        """Push each post, queue it, or leave it to readers, in any order: lists have their own."""
        for start in range(0, len(posts), POSTS_AT_ONCE):
            if self._load.level >= Level.PULL:
                await self._skip({post.post_id for post in posts[start:]})
                return
            await self._take_some(posts[start : start + POSTS_AT_ONCE])

    async def take_deletes(self, posts: Sequence[DeliveredPost]) -> None:
        """Take each deleted post out of lists, or leave that to their readers, who are not shown it anyway."""
        for start in range(0, len(posts), POSTS_AT_ONCE):
            some = posts[start : start + POSTS_AT_ONCE]
            await _all(self._ledgers.removals.note(post.post_id, post.author_id) for post in some)
            if self._load.level >= Level.PULL:
                await self._skip_deletes({post.post_id for post in some})
            else:
                audiences = await self._audiences(some)
                await _all(self._remove(post, audiences.get(post.author_id)) for post in some)

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
                await self._deliver(lane, chunk)

    async def _take_some(self, posts: Sequence[DeliveredPost]) -> None:
        audiences = await self._audiences(posts)
        known = [(post, audiences[post.author_id]) for post in posts if post.author_id in audiences]
        small = [(post, audience) for post, audience in known if audience.followers is not None]
        large = [(post, audience) for post, audience in known if audience.followers is None]
        await _all([self._push(small), *(self._plan(*one) for one in large)])

    async def _audiences(self, posts: Iterable[DeliveredPost]) -> Mapping[int, AudienceRecord]:
        small = min(SMALL_AUTHOR, self._chunk_followers, self._slow_lane_from - 1)
        return await self._graph.audiences({post.author_id for post in posts}, small)

    async def _push(self, posts: Sequence[tuple[DeliveredPost, AudienceRecord]]) -> None:
        """Push posts of small authors at once; deleted ones as `_deliver` does."""
        deleted = await self._deleted(post for post, _ in posts)
        wanted = [(post, audience) for post, audience in posts if post.post_id not in deleted]
        for _, audience in wanted:
            self._meter("push", audience)
        await self._deliveries["push"].at_once(wanted)
        deleted = await self._deleted(post for post, _ in posts)
        for post, audience in posts:
            if post.post_id in deleted:
                await self._removals["push"].page(post.post_id, audience.followers or ())

    async def _plan(self, post: DeliveredPost, audience: AudienceRecord) -> None:
        """Hand chunks to all workers; readers pull pull authors."""
        count = audience.follower_count
        if not audience.is_push:
            POSTS.labels("pull").inc()
            await self._ledgers.posts.planned(post.post_id, mode="pull", follower_count=count)
            await self._pulls.stamp_pulled()
            return
        lane = self._lane(count)
        self._meter(lane, audience)
        ranges = await self._graph.follower_ranges(post.author_id, self._chunk_followers)
        planned = await self._ledgers.posts.planned(post.post_id, mode=lane, follower_count=count, chunks=ranges)
        await self._queue.put(lane, [Chunk(post, within) for within in planned])

    async def _remove(self, post: DeliveredPost, audience: AudienceRecord | None) -> None:
        """The same ways for a delete. A post that was not pushed, or before the ledger's time, is in few lists."""
        state, ledger = await self._ledgers.posts.of(post.post_id), self._ledgers.removals
        if state is None or state.mode == "pull" or audience is None:
            await ledger.planned(post.post_id, mode="pull", follower_count=0)
            return
        if audience.followers is not None:
            await self._removals["push"].at_once([(post, audience)])
            return
        count, lane = audience.follower_count, self._lane(audience.follower_count)
        ranges = await self._graph.follower_ranges(post.author_id, self._chunk_followers)
        planned = await ledger.planned(post.post_id, mode=lane, follower_count=count, chunks=ranges)
        await self._queue.put(lane, [Chunk(post, within, removes=True) for within in planned])

    def _lane(self, follower_count: int) -> Lane:
        return "slow" if follower_count >= self._slow_lane_from else "push"

    @staticmethod
    def _meter(lane: Lane, audience: AudienceRecord) -> None:
        POSTS.labels(lane).inc()
        FOLLOWERS.observe(audience.follower_count)

    async def _deliver(self, lane: Lane, chunk: Chunk) -> None:
        """Push a chunk, but never of a post that is deleted.

        A delete is noted before it is carried out. So one that is not found after the push comes after it, and one that
        is found may have gone before: what was pushed meanwhile, or by an attempt that was broken off, is taken back.
        """
        if not await self._deleted([chunk.post]):
            await self._deliveries[lane].chunk(chunk)
        if await self._deleted([chunk.post]):
            await self._removals[lane].through(chunk.post, chunk.within)

    async def _deleted(self, posts: Iterable[DeliveredPost]) -> set[int]:
        return await self._ledgers.removals.known([post.post_id for post in posts])

    async def _skip(self, post_ids: Collection[int]) -> None:
        await self._gaps.extend(post_ids)
        await self._pulls.stamp_unpushed()
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
