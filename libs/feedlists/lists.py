"""Feed lists in Redis."""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from redis.asyncio import Redis

from libs.common.stores.redis import translates_errors
from libs.common.stores.redis_functions import Functions

CAP = 500  # entries of a list (docs/figures.md)
SLACK = 50  # a list is trimmed after this many pushes, not after each
TTL_S = 7 * 86_400  # renewed by each read
ACTIVE_S = TTL_S - 86_400  # a list whose remaining time to live is less was not read for 24 h
FEEDS_A_CALL = 500  # one call takes about 1.5 ms of the server; longer calls delay readers
FEEDS_A_WITHDRAWAL = 100  # the same time, because a list without the post is searched to its end
SLICE = 2_000  # users whose calls are prepared together
SNAPSHOT_S = 3_600
CALLS_AHEAD = 3  # calls are prepared while the server works; more of them would delay its other clients
LIBRARY = Path(__file__).parent / "library.lua"
_COMPLETE, _BUILDING = b"0", b"1"
T = TypeVar("T")
_OUTCOMES = b"whd-"  # of an entry in `push_each`
_Entries = Sequence[tuple[int, int, int]]
"""Entries to write, each as (user id, post id, index of the post)."""
_MIX = 0x9E3779B97F4A7C15  # 2^64 / golden ratio (Knuth, TAOCP 3, 6.4): spreads ids whose low bits are alike


@dataclass(frozen=True, slots=True)
class FeedList:
    """The content of a list: ids newest first; `complete` if no older ids were ever trimmed.

    Otherwise it has all posts that are not older than its oldest one. `building` means that it is not yet filled.
    `merged_up_to` is the number of the last unpushed range whose posts were merged into it; 0 if there was none.
    """

    post_ids: tuple[int, ...]
    complete: bool
    building: bool
    merged_up_to: int = 0


@dataclass(frozen=True, slots=True)
class PushResult:
    """The result of a push: entries written, entries that existed already, inactive lists that were deleted."""

    written: int
    held: int
    dropped: int


@dataclass(frozen=True, slots=True)
class RemovalResult:
    """The result of a removal: entries removed, and lists that did not have the post."""

    taken: int
    without: int


@translates_errors
class FeedLists:
    """Reads and writes feed lists. All methods raise UnavailableError.

    A reader's keys have the hash tag of a bucket. So one call for the feeds of a bucket uses one node of a Redis
    Cluster. `buckets` is part of the storage layout: to change it, rebuild all lists. One object makes at most
    `calls_ahead` concurrent calls for pushes and removals.
    """

    def __init__(self, redis: "Redis", prefix: str, buckets: int, *, calls_ahead: int = CALLS_AHEAD) -> None:
        self._redis = redis
        self._functions = Functions(redis, LIBRARY)
        self._prefix = prefix
        self._buckets = buckets
        self._calls_ahead = asyncio.Semaphore(calls_ahead)

    def bucket(self, user_id: int) -> int:
        """The bucket of the reader's keys."""
        return (user_id * _MIX >> 32 & 0xFFFFFFFF) % self._buckets

    def key(self, user_id: int, kind: str = "list") -> str:
        """The reader's key of this kind; all keys of one reader are in one slot."""
        return f"{self._prefix}{{{self.bucket(user_id)}}}:{kind}:{user_id}"

    def bucket_keys(self, kind: str) -> list[str]:
        """One key of this kind per bucket, in the slot of its lists, so that on a cluster they are lost together."""
        return [f"{self._prefix}{{{bucket}}}:{kind}" for bucket in range(self._buckets)]

    def late_key(self, user_id: int) -> str:
        """The key that changes when a post is inserted below the newest one; it expires after 3 minutes."""
        return f"{self.key(user_id)}:late"

    async def deliver(
        self, user_ids: Iterable[int], post_ids: Sequence[int], *, active_only: bool = False
    ) -> PushResult:
        """Add posts to existing feeds. Entries that exist count as `held`, so the call may be repeated.

        With `active_only`, lists that were not read for 24 h are deleted instead. Their readers get new lists.
        """
        args = (CAP, SLACK, ACTIVE_S if active_only else 0, *sorted(post_ids))
        return PushResult(*await self._spread("push", user_ids, FEEDS_A_CALL, args) or (0, 0, 0))

    async def deliver_each(
        self, posts: Sequence[tuple[int, Iterable[int]]], *, active_only: bool = False
    ) -> list[PushResult]:
        """Add each post to the feeds of its own users, as `deliver` does, in shared calls; the results in order.

        Args:
            posts: pairs of a post id and user ids.
            active_only: see `deliver`.
        """
        by_bucket = defaultdict[int, list[tuple[int, int, int]]](list)
        count = self._buckets
        for index, (post_id, user_ids) in sorted(enumerate(posts), key=lambda indexed: indexed[1][0]):
            for user_id in user_ids:
                by_bucket[(user_id * _MIX >> 32 & 0xFFFFFFFF) % count].append((user_id, post_id, index))
        results = [dict.fromkeys(_OUTCOMES, 0) for _ in posts]

        def queue(pipe: Any, calls: Sequence[tuple[int, _Entries]]) -> None:
            for bucket, entries in calls:
                start_of_key = f"{self._prefix}{{{bucket}}}:list:"
                keys = [f"{start_of_key}{user_id}" for user_id, _, _ in entries]
                args = (CAP, SLACK, ACTIVE_S if active_only else 0, *(post_id for _, post_id, _ in entries))
                self._functions.send(pipe, "push_each", keys, *args)

        async def send(calls: Sequence[tuple[int, _Entries]]) -> None:
            async with self._calls_ahead:
                answers = await self._functions.pipelined(lambda pipe: queue(pipe, calls))
            for (_, entries), answer in zip(calls, answers, strict=True):
                for (_, _, index), outcome in zip(entries, answer, strict=True):
                    results[index][outcome] += 1

        await asyncio.gather(*map(send, _pipelines(by_bucket, FEEDS_A_CALL)))
        return [PushResult(*(counts[outcome] for outcome in b"whd")) for counts in results]

    async def withdraw(self, user_ids: Iterable[int], post_id: int) -> RemovalResult:
        """Remove a post from existing feeds. The call may be repeated."""
        return RemovalResult(*await self._spread("withdraw", user_ids, FEEDS_A_WITHDRAWAL, (post_id,)) or (0, 0))

    async def _spread(
        self, function: str, user_ids: Iterable[int], feeds_a_call: int, args: Sequence[int]
    ) -> list[int] | None:
        """Call the function for the users' lists, one bucket in a call; the sums of its answers, None without users."""
        users, work = iter(user_ids), list[asyncio.Task[list[list[int]]]]()
        # Redis works on one slice while the next one is prepared.
        while some := list(islice(users, SLICE)):
            by_bucket = defaultdict[int, list[int]](list)
            for user_id in some:
                by_bucket[(user_id * _MIX >> 32 & 0xFFFFFFFF) % self._buckets].append(user_id)  # bucket(), inlined
            for calls in _pipelines(by_bucket, feeds_a_call):
                await self._calls_ahead.acquire()
                task = asyncio.create_task(self._call_in_buckets(function, calls, args))
                task.add_done_callback(lambda _: self._calls_ahead.release())
                work.append(task)
        answers = [answer for answers in await asyncio.gather(*work) for answer in answers]
        return [sum(column) for column in zip(*answers, strict=True)] or None

    async def _call_in_buckets(
        self, function: str, calls: Sequence[tuple[int, Sequence[int]]], args: Sequence[int]
    ) -> list[list[int]]:
        def queue(pipe: Any) -> None:
            for bucket, users in calls:
                start_of_key = f"{self._prefix}{{{bucket}}}:list:"
                self._functions.send(pipe, function, [f"{start_of_key}{user_id}" for user_id in users], *args)

        return await self._functions.pipelined(queue)

    async def read(self, user_id: int, *, renew: bool = True) -> FeedList | None:
        """The reader's list; None if there is none. `renew` its time to live only for reads by its own reader."""
        async with self._redis.pipeline(transaction=False) as pipe:
            self.queue_read(pipe, user_id, renew=renew)
            raw, merged_up_to, *_ = await pipe.execute()
        return self.parse(raw, merged_up_to)

    def queue_read(self, pipe: Any, user_id: int, *, renew: bool = True) -> None:
        """Add the commands of `read` to a pipeline. `parse` takes the answers to the first two."""
        key = self.key(user_id)
        pipe.lrange(key, 0, -1)
        pipe.get(self._merged_up_to_key(user_id))
        if renew:
            pipe.expire(key, TTL_S)

    @staticmethod
    def parse(raw: Sequence[bytes], merged_up_to: bytes | None) -> FeedList | None:
        """Return the list in the answers to `queue_read`; None if there is none."""
        if not raw:
            return None
        head = raw[0]
        marked = head in (_COMPLETE, _BUILDING)
        post_ids = tuple(int(item) for item in reversed(raw[1:] if marked else raw))
        return FeedList(post_ids, head == _COMPLETE, head == _BUILDING, int(merged_up_to or 0))

    async def begin(self, user_id: int) -> None:
        """Create an unfilled list if there is none. From now on pushes are added to it."""
        await self._functions.call("begin", [self.key(user_id)], TTL_S)

    async def merge(self, user_id: int, post_ids: Iterable[int], *, finish: bool) -> bool:
        """Merge `post_ids` into the list; with `finish` the list counts as filled. False if there is no list.

        Posts older than the oldest entry of a trimmed list are ignored. `post_ids` must have the newest 500 posts, and
        may lack older ones.
        """
        args = (CAP, TTL_S, int(finish), *sorted(set(post_ids)))
        return bool(await self._functions.call("merge", [self.key(user_id)], *args))

    async def merge_unpushed(self, user_id: int, post_ids: Sequence[int], gap_id: int) -> bool:
        """Merge the pulled posts of all unpushed ranges up to number `gap_id` into the list, and store the number.

        None of these ranges may be open. Returns False if there is no list.
        """
        keys = [self.key(user_id), self._merged_up_to_key(user_id)]
        return bool(await self._functions.call("merge_unpushed", keys, CAP, TTL_S, gap_id, *sorted(set(post_ids))))

    async def remove(self, user_id: int, post_ids: Iterable[int]) -> None:
        """Remove posts from one reader's list."""
        key = self.key(user_id)
        async with self._redis.pipeline(transaction=False) as pipe:
            for post_id in post_ids:
                pipe.lrem(key, 1, str(post_id))
            await pipe.execute()

    async def readers(self, bucket: int) -> AsyncIterator[int]:
        """The users in the bucket who have a list. An id may occur twice."""
        start_of_key = f"{self._prefix}{{{bucket}}}:list:"
        async for key in self._redis.scan_iter(match=f"{_escape_pattern(start_of_key)}*", count=1_000):
            reader_id = key.decode().removeprefix(start_of_key)
            if reader_id.isdigit():  # not a late key
                yield int(reader_id)

    async def snapshot(self, user_id: int) -> FeedList | None:
        """The list, of which a copy is stored for a `swap` within the hour; None if there is none."""
        await self._functions.call("snapshot", [self.key(user_id), self.key(user_id, "before")], SNAPSHOT_S)
        return await self.read(user_id, renew=False)

    async def swap(self, user_id: int, post_ids: Sequence[int], *, complete: bool) -> bool:
        """Replace the posts of the snapshot by `post_ids`; posts that were pushed since the snapshot stay.

        Returns False, and changes nothing, if the list or the snapshot does not exist.
        """
        keys = [self.key(user_id), self.key(user_id, "before"), self.key(user_id, "shadow")]
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.delete(keys[2])
            pipe.rpush(keys[2], *(["0"] if complete else []), *sorted(post_ids))
            pipe.expire(keys[2], SNAPSHOT_S)
            await pipe.execute()
        return bool(await self._functions.call("swap", keys, CAP, TTL_S))

    def _merged_up_to_key(self, user_id: int) -> str:
        return self.key(user_id, "healed")


def _pipelines(by_bucket: Mapping[int, Sequence[T]], size: int) -> Iterator[list[tuple[int, Sequence[T]]]]:
    """Calls, each with items of one bucket, in groups of at most `size` items.

    Redis runs a pipeline without a pause for other clients, so a group is limited like a call.
    """
    group, free = list[tuple[int, Sequence[T]]](), size
    for bucket, items in by_bucket.items():
        start = 0
        while start < len(items):
            part = items[start : start + free]
            group.append((bucket, part))
            start, free = start + len(part), free - len(part)
            if not free:
                yield group
                group, free = [], size
    if group:
        yield group


def _escape_pattern(text: str) -> str:
    """Text that a Redis pattern matches literally."""
    return re.sub(r"([\[\]*?^\\])", r"\\\1", text)
