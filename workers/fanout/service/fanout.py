"""Fan-out: new and deleted posts change the feeds of their authors' followers. All steps are idempotent."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from libs.common.core.ids import id_time_ms, now_ms
from libs.contracts.internal.user import AudienceRecord
from libs.feedlists import BackpressureLevel, PushResult, Range
from libs.telemetry.metrics import counter, exemplar, histogram
from workers.fanout.ports import (
    Chunk,
    ChunkQueue,
    CurrentBackpressure,
    DeliveryLedger,
    Feeds,
    FollowerGraph,
    Lane,
    PostRef,
    PullStamps,
    RemovalLedger,
    SlowLaneRate,
    UnpushedRangeLog,
)

MAX_POSTS = 500  # handled together: one request for their authors, and shared calls for authors with few followers
MAX_DELETES = 64  # handled together; each makes some calls of its own
MAX_IDS = 64_000  # follower ids in one answer, which takes a few megabytes
SMALL_AUTHOR = 1_000  # followers; the posts of larger authors are divided into chunks
CHUNKS_AT_ONCE: Mapping[Lane, int] = {"push": 3, "slow": 1}  # of a partition: one is read while others are written
PLANS_AT_ONCE = 8  # the ranges of a large author take milliseconds to seconds of the database
DELIVERIES = counter("feedmill_fanout_deliveries_total")
REMOVALS = counter("feedmill_fanout_removals_total")
POSTS = counter("feedmill_fanout_posts_total")
SKIPPED = counter("feedmill_fanout_skipped_total")
SECONDS = histogram("feedmill_fanout_seconds")
FOLLOWERS = histogram("feedmill_fanout_followers")
ApplyToFeeds = Callable[[int, Sequence[int]], Awaitable[int]]
"""Changes the feeds of users for a post: (post id, user ids) → the number of feeds that are now as wanted.

It may be called again with the same arguments.
"""


class FollowerPages:
    """Applies one change to the feeds of an author's followers, page by page, with one page in memory at a time.

    Args:
        graph: the followers.
        ledger: stores the progress of chunks.
        apply: the change.
        rate: limits the feeds per second; None: no limit.
    """

    def __init__(
        self, graph: FollowerGraph, ledger: DeliveryLedger, apply: ApplyToFeeds, rate: SlowLaneRate | None
    ) -> None:
        self._graph = graph
        self._ledger = ledger
        self._apply = apply
        self._rate = rate

    async def apply(self, post_id: int, user_ids: Sequence[int]) -> int:
        """Apply the change to the feeds of these users, at the limited rate; an `ApplyToFeeds`."""
        if self._rate is not None:
            await self._rate.take(len(user_ids))
        return await self._apply(post_id, user_ids)

    async def apply_range(self, post: PostRef, within: Range) -> None:
        """Apply the change to all followers in the range, without noting progress."""
        async for page in self._graph.followers(post.author_id, within):
            await self.apply(post.post_id, page)

    async def apply_chunk(self, chunk: Chunk) -> bool:
        """Apply the change to the followers of a chunk, from where the last attempt stopped.

        Return False if an earlier attempt was complete.
        """
        post, (start_id, up_to_id), is_done = chunk.post, chunk.within, False
        progress = await self._ledger.begun(post.post_id, start_id)
        if progress.is_done:
            return False
        delivered = progress.delivered
        async for page in self._graph.followers(post.author_id, (progress.after_id, up_to_id)):
            delivered += await self.apply(post.post_id, page)
            is_done = page[-1] == up_to_id
            await self._ledger.progressed(post.post_id, start_id, after_id=page[-1], delivered=delivered, done=is_done)
        if not is_done:  # the last follower of the chunk has unfollowed since
            await self._ledger.progressed(post.post_id, start_id, after_id=up_to_id, delivered=delivered, done=True)
        return True


class FeedWriter:
    """Pushes posts into feeds, in one lane."""

    def __init__(
        self,
        graph: FollowerGraph,
        feeds: Feeds,
        ledger: DeliveryLedger,
        backpressure: CurrentBackpressure,
        rate: SlowLaneRate | None = None,
    ) -> None:
        self._feeds = feeds
        self._ledger = ledger
        self._backpressure = backpressure
        self._pages = FollowerPages(graph, ledger, self._push, rate)

    async def push_small(self, posts: Sequence[tuple[PostRef, AudienceRecord]]) -> None:
        """Push each post to all followers of its author, who has few."""
        level = self._backpressure.level
        results = await self._feeds.deliver_each(
            [(post.post_id, audience.followers or ()) for post, audience in posts],
            active_only=level >= BackpressureLevel.ACTIVE_ONLY,
        )
        self._count(level, results)
        await self._ledger.delivered(
            (post.post_id, audience.follower_count, result.written + result.held)
            for (post, audience), result in zip(posts, results, strict=True)
        )

    async def push_chunk(self, chunk: Chunk) -> bool:
        """Push a post to the followers of a chunk. Return False if that was done before."""
        return await self._pages.apply_chunk(chunk)

    async def _push(self, post_id: int, user_ids: Sequence[int]) -> int:
        level = self._backpressure.level
        result = await self._feeds.deliver(user_ids, [post_id], active_only=level >= BackpressureLevel.ACTIVE_ONLY)
        self._count(level, [result])
        return result.written + result.held

    @staticmethod
    def _count(level: BackpressureLevel, results: Sequence[PushResult]) -> None:
        DELIVERIES.inc(sum(result.written for result in results))
        if dropped := sum(result.dropped for result in results):
            SKIPPED.labels(int(level), "list").inc(dropped)


class FeedRemover:
    """Removes deleted posts from feeds, in one lane."""

    def __init__(
        self, graph: FollowerGraph, feeds: Feeds, ledger: RemovalLedger, rate: SlowLaneRate | None = None
    ) -> None:
        self._feeds = feeds
        self._ledger = ledger
        self._pages = FollowerPages(graph, ledger, self._withdraw, rate)

    async def remove_small(self, post: PostRef, audience: AudienceRecord) -> None:
        """Remove a post from the feeds of all followers of its author, who has few; note the progress."""
        delivered = await self.remove(post, audience.followers or ())
        await self._ledger.delivered([(post.post_id, audience.follower_count, delivered)])

    async def remove(self, post: PostRef, user_ids: Sequence[int]) -> int:
        """Remove a post from the feeds of these users; the number of existing feeds."""
        return await self._pages.apply(post.post_id, user_ids)

    async def remove_range(self, post: PostRef, within: Range) -> None:
        """Remove a post from the feeds of the followers in the range, without noting progress."""
        await self._pages.apply_range(post, within)

    async def remove_chunk(self, chunk: Chunk) -> None:
        await self._pages.apply_chunk(chunk)

    async def _withdraw(self, post_id: int, user_ids: Sequence[int]) -> int:
        result = await self._feeds.withdraw(user_ids, post_id)
        REMOVALS.inc(result.taken)
        return result.taken + result.without


@dataclass(frozen=True, slots=True)
class Ledgers:
    """The progress of pushed posts, and of removals."""

    posts: DeliveryLedger
    removals: RemovalLedger


class Fanout:
    """Decides how posts and deletes reach feeds: at once, by chunks in one of two lanes, or by pulling."""

    def __init__(
        self,
        graph: FollowerGraph,
        writers: Mapping[Lane, FeedWriter],
        removers: Mapping[Lane, FeedRemover],
        queue: ChunkQueue,
        ledgers: Ledgers,
        unpushed: UnpushedRangeLog,
        backpressure: CurrentBackpressure,
        stamps: PullStamps,
        *,
        chunk_followers: int,
        slow_lane_from: int,
        max_ids: int = MAX_IDS,
    ) -> None:
        self._graph = graph
        self._writers = writers
        self._removers = removers
        self._queue = queue
        self._ledgers = ledgers
        self._unpushed = unpushed
        self._backpressure = backpressure
        self._stamps = stamps
        self._chunk_followers = chunk_followers
        self._slow_lane_from = slow_lane_from
        self._small = min(SMALL_AUTHOR, chunk_followers, slow_lane_from - 1)
        self._max_ids = max(max_ids, self._small)
        self._plans = asyncio.Semaphore(PLANS_AT_ONCE)

    async def take_posts(self, posts: Sequence[PostRef]) -> None:
        """Push posts, queue them as chunks, or let readers pull them. Any order will do, since lists are sorted.

        Cached lists of newest posts are deleted first. So a feed that is built after the push has the post too.
        """
        await self._stamps.forget_recent([(post.author_id, post.post_id) for post in posts])
        for start in range(0, len(posts), MAX_POSTS):
            if self._backpressure.level >= BackpressureLevel.PULL:
                await self._skip({post.post_id for post in posts[start:]})
                return
            await self._take_some(posts[start : start + MAX_POSTS])

    async def take_deletes(self, posts: Sequence[PostRef]) -> None:
        """Remove deleted posts from lists, or leave that to reads, which hide deleted posts anyway."""
        for start in range(0, len(posts), MAX_DELETES):
            some = posts[start : start + MAX_DELETES]
            await _all(self._ledgers.removals.note(post.post_id, post.author_id) for post in some)
            if self._backpressure.level >= BackpressureLevel.PULL:
                await self._skip_deletes({post.post_id for post in some})
            else:
                audiences = await self._audiences(some)
                await _all(self._remove(post, audiences.get(post.author_id)) for post in some)

    async def take_chunks(self, lane: Lane, chunks: Sequence[Chunk]) -> None:
        """Push or remove the posts of chunks, some at once; skip the remaining chunks at level 3."""
        for start in range(0, len(chunks), CHUNKS_AT_ONCE[lane]):
            if self._backpressure.level >= BackpressureLevel.PULL:
                left = chunks[start:]
                await self._skip({chunk.post.post_id for chunk in left if not chunk.removes})
                await self._skip_deletes({chunk.post.post_id for chunk in left if chunk.removes})
                return
            await _all(self._take_chunk(lane, chunk) for chunk in chunks[start : start + CHUNKS_AT_ONCE[lane]])

    async def _take_chunk(self, lane: Lane, chunk: Chunk) -> None:
        if chunk.removes:
            await self._removers[lane].remove_chunk(chunk)
        else:
            await self._deliver(lane, chunk)

    async def _take_some(self, posts: Sequence[PostRef]) -> None:
        if not (posts := await self._without_done(posts)):
            return
        audiences, few = await self._audiences(posts), self._few(posts)
        small, middle, large = [], [], []
        for post in posts:
            if (audience := audiences.get(post.author_id)) is None:
                continue
            if audience.followers is not None:
                small.append((post, audience))
            elif audience.is_push and few < audience.follower_count <= self._small:
                middle.append(post)
            else:
                large.append((post, audience))
        plans = (self._plan(post, audience) for post, audience in large)
        await _all([self._push(small), self._take_middle(middle), *plans])

    async def _without_done(self, posts: Sequence[PostRef]) -> Sequence[PostRef]:
        """Leave out posts that were delivered before, unless they are deleted: the removal may have been too early."""
        done = await self._ledgers.posts.delivered_before(post.post_id for post in posts)
        if done:
            done -= await self._deleted(post for post in posts if post.post_id in done)
        return [post for post in posts if post.post_id not in done]

    async def _take_middle(self, posts: Sequence[PostRef]) -> None:
        """Push posts of small authors whose followers were too many for an answer about many authors."""
        size = self._max_ids // max(1, self._small)
        for start in range(0, len(posts), size):
            await self._take_some(posts[start : start + size])

    async def _audiences(self, posts: Sequence[PostRef]) -> Mapping[int, AudienceRecord]:
        return await self._graph.audiences({post.author_id for post in posts}, self._few(posts))

    def _few(self, posts: Sequence[PostRef]) -> int:
        """The number of followers up to which an answer about these authors has the ids."""
        return min(self._small, self._max_ids // len(posts))

    async def _push(self, posts: Sequence[tuple[PostRef, AudienceRecord]]) -> None:
        """Push posts of authors with few followers. Deleted posts are handled as in `_deliver`."""
        deleted = await self._deleted(post for post, _ in posts)
        wanted = [(post, audience) for post, audience in posts if post.post_id not in deleted]
        self._meter("push", [audience for _, audience in wanted])
        await self._writers["push"].push_small(wanted)
        self._observe("push", [post for post, _ in wanted])
        deleted = await self._deleted(post for post, _ in posts)
        for post, audience in posts:
            if post.post_id in deleted:
                await self._removers["push"].remove(post, audience.followers or ())

    async def _plan(self, post: PostRef, audience: AudienceRecord) -> None:
        """Queue chunks for all workers, or let readers pull if the author is a pull author."""
        async with self._plans:
            count = audience.follower_count
            if not audience.is_push:
                POSTS.labels("pull").inc()
                await self._ledgers.posts.planned(post.post_id, mode="pull", follower_count=count)
                await self._stamps.stamp_pulled()
                return
            lane = self._lane(count)
            self._meter(lane, [audience])
            ranges = await self._graph.follower_ranges(post.author_id, self._chunk_followers)
            planned = await self._ledgers.posts.planned(post.post_id, mode=lane, follower_count=count, chunks=ranges)
            await self._queue.put(lane, [Chunk(post, within) for within in planned])

    async def _remove(self, post: PostRef, audience: AudienceRecord | None) -> None:
        """Remove the post at once or in chunks, like a push. A post that was not pushed is in few lists."""
        state, ledger = await self._ledgers.posts.of(post.post_id), self._ledgers.removals
        if state is None or state.mode == "pull" or audience is None:
            await ledger.planned(post.post_id, mode="pull", follower_count=0)
            return
        if audience.followers is not None:
            await self._removers["push"].remove_small(post, audience)
            return
        count, lane = audience.follower_count, self._lane(audience.follower_count)
        ranges = await self._graph.follower_ranges(post.author_id, self._chunk_followers)
        planned = await ledger.planned(post.post_id, mode=lane, follower_count=count, chunks=ranges)
        await self._queue.put(lane, [Chunk(post, within, removes=True) for within in planned])

    def _lane(self, follower_count: int) -> Lane:
        return "slow" if follower_count >= self._slow_lane_from else "push"

    @staticmethod
    def _meter(lane: Lane, audiences: Sequence[AudienceRecord]) -> None:
        POSTS.labels(lane).inc(len(audiences))
        for audience in audiences:
            FOLLOWERS.observe(audience.follower_count)

    @staticmethod
    def _observe(lane: Lane, posts: Iterable[PostRef]) -> None:
        """Record how long ago these posts were created, now that they are delivered."""
        now, trace = now_ms(), exemplar()
        for post in posts:
            SECONDS.labels(lane).observe(max(0, now - id_time_ms(post.post_id)) / 1_000, trace)

    async def _deliver(self, lane: Lane, chunk: Chunk) -> None:
        """Push a chunk, unless its post is deleted.

        A delete is noted before its removal starts. If none is noted after the push, a later removal finds all entries.
        If one is noted, the removal may be over, so this chunk is removed here, with entries of failed attempts.
        """
        if not await self._deleted([chunk.post]) and await self._writers[lane].push_chunk(chunk):
            self._observe(lane, [chunk.post])
        if await self._deleted([chunk.post]):
            await self._removers[lane].remove_range(chunk.post, chunk.within)

    async def _deleted(self, posts: Iterable[PostRef]) -> set[int]:
        return await self._ledgers.removals.known([post.post_id for post in posts])

    async def _skip(self, post_ids: Collection[int]) -> None:
        await self._unpushed.extend(post_ids)
        await self._stamps.stamp_all_pages()
        await self._ledgers.posts.skipped(post_ids)
        POSTS.labels("skipped").inc(len(post_ids))
        SKIPPED.labels(int(BackpressureLevel.PULL), "post").inc(len(post_ids))

    async def _skip_deletes(self, post_ids: Collection[int]) -> None:
        """Only note the deletes: reads hide deleted posts, and remove them from the list."""
        await self._ledgers.removals.skipped(post_ids)
        SKIPPED.labels(int(BackpressureLevel.PULL), "delete").inc(len(post_ids))


async def _all(work: Iterable[Awaitable[None]]) -> None:
    """Run concurrently. Raise an error only when all are done, so that no work overlaps with a retry."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if outcome is not None:
            raise outcome
