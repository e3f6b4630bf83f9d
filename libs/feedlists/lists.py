"""The feed lists of all readers."""

import asyncio
import hashlib
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

CAP = 500  # entries kept (SPEC: feed window)
SLACK = 50  # a list is trimmed once in so many pushes, not at every one
TTL_S = 7 * 86_400  # renewed whenever the reader comes
FEEDS_A_CALL = 500  # bounds one call to about 1.5 ms of the server: longer hurts readers
CALLS_AHEAD = 3  # the next calls are packed while the server works
_COMPLETE, _BUILDING = b"0", b"1"
_MIX = 0x9E3779B97F4A7C15  # 2^64 / golden ratio (Knuth, TAOCP 3, 6.4): spreads ids whose low bits are alike

_SOURCE = (Path(__file__).parent / "library.lua").read_text()
_VERSION = hashlib.sha256(_SOURCE.encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class FeedList:
    """A list as read: ids newest first; `complete` when nothing older was ever cut off.

    Otherwise it holds all there are at or above its oldest one.
    """

    post_ids: tuple[int, ...]
    complete: bool
    building: bool


class FeedLists:
    """Reads and writes feed lists.

    A reader's list carries the hash tag of its bucket, so that one call for feeds of a bucket stays on one node of a
    Redis Cluster. `buckets` is part of the layout: changing it means rebuilding every list.
    """

    def __init__(self, redis: "Redis", prefix: str, buckets: int) -> None:
        self._redis = redis
        self._prefix = prefix
        self._buckets = buckets

    def bucket(self, user_id: int) -> int:
        """The bucket of the reader's keys."""
        return (user_id * _MIX >> 32 & 0xFFFFFFFF) % self._buckets

    def key(self, user_id: int, kind: str = "list") -> str:
        """The reader's key of this kind; all keys of one reader lie in one slot."""
        return f"{self._prefix}{{{self.bucket(user_id)}}}:{kind}:{user_id}"

    def late_key(self, user_id: int) -> str:
        """Counts, for some minutes, posts that came in below the youngest one."""
        return f"{self.key(user_id)}:late"

    async def push(self, user_ids: Iterable[int], post_ids: Sequence[int]) -> int:
        """Put posts into the feeds that exist; the number of entries written. Doing it again writes none."""
        by_bucket: dict[int, list[str]] = defaultdict(list)
        for user_id in user_ids:
            bucket = self.bucket(user_id)
            by_bucket[bucket].append(f"{self._prefix}{{{bucket}}}:list:{user_id}")
        ids = sorted(post_ids)
        written, waiting = 0, deque[asyncio.Task[int]]()
        for keys in by_bucket.values():
            for start in range(0, len(keys), FEEDS_A_CALL):
                call = self._call("push", keys[start : start + FEEDS_A_CALL], CAP, SLACK, *ids)
                waiting.append(asyncio.create_task(call))
                if len(waiting) == CALLS_AHEAD:
                    written += await waiting.popleft()
        return written + sum(await asyncio.gather(*waiting))

    async def read(self, user_id: int) -> FeedList | None:
        """The reader's list, or None when there is none; renews its time to live."""
        key = self.key(user_id)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.lrange(key, 0, -1)
            pipe.expire(key, TTL_S)
            raw, _ = await pipe.execute()
        if not raw:
            return None
        head = raw[0]
        marked = head in (_COMPLETE, _BUILDING)
        post_ids = tuple(int(item) for item in reversed(raw[1:] if marked else raw))
        return FeedList(post_ids, complete=head == _COMPLETE, building=head == _BUILDING)

    async def begin(self, user_id: int) -> None:
        """Make the list if there is none; from now on pushes land in it."""
        await self._call("begin", [self.key(user_id)], TTL_S)

    async def merge(self, user_id: int, post_ids: Iterable[int], *, finish: bool) -> bool:
        """Unite the list with `post_ids`; with `finish` it is built by that. False when the list is gone.

        Of a list that was cut off stays what is younger than the cut. `post_ids` may leave out only such as are older
        than 500 others of them.
        """
        return bool(await self._call("merge", [self.key(user_id)], CAP, TTL_S, int(finish), *sorted(set(post_ids))))

    async def remove(self, user_id: int, post_ids: Iterable[int]) -> None:
        """Take posts out."""
        key = self.key(user_id)
        async with self._redis.pipeline(transaction=False) as pipe:
            for post_id in post_ids:
                pipe.lrem(key, 1, str(post_id))
            await pipe.execute()

    async def load(self) -> None:
        """Load the functions; their names carry a hash of the source, so releases side by side do not collide."""
        await self._redis.function_load(_SOURCE.replace("@VERSION@", _VERSION), replace=True)

    async def _call(self, name: str, keys: Sequence[str], *args: int) -> int:
        call: Any = self._redis.fcall(f"{name}_{_VERSION}", len(keys), *keys, *args)
        try:
            return int(await call)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            await self.load()  # a Redis that was replaced by an empty one
            return int(await self._redis.fcall(f"{name}_{_VERSION}", len(keys), *keys, *args))
