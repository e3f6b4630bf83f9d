"""Ranges of posts that were not pushed because of backpressure. Readers pull them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from libs.common.core.ids import first_id_at, now_ms
from libs.common.stores.redis import translates_errors
from libs.common.stores.redis_functions import Functions
from libs.feedlists.lists import LIBRARY, FeedLists

WINDOW_S = 7 * 86_400  # older posts are in no feed
REACH_S = 300  # writes that may be lost when a replica takes over; replicas lag by far less
_OPEN, _LAST, _SERVER = b"open", b"last", b"server"


@dataclass(frozen=True, slots=True)
class UnpushedRange:
    """A closed interval of post ids, some of which were not pushed. It grows only while it is open.

    A reader who pulled a range that is not open has all its posts. Later ranges have greater numbers.
    """

    gap_id: int
    first_id: int
    last_id: int
    is_open: bool


@translates_errors
class UnpushedRanges:
    """Stores the ranges once per bucket. If a bucket loses them, it loses its lists too, which are built again."""

    def __init__(self, redis: "Redis", lists: FeedLists) -> None:
        self._redis = redis
        self._functions = Functions(redis, LIBRARY)
        self._lists = lists
        self._keys = lists.bucket_keys("gaps")

    async def extend(self, post_ids: Iterable[int]) -> None:
        """Widen the open range to contain these posts, or open one. The call may be repeated."""
        if ids := sorted(post_ids):
            await self._functions.call_each("extend", self._keys, ids[0], ids[-1], _horizon(), WINDOW_S)

    async def open_after_failover(self) -> bool:
        """Open a range for the last 5 minutes if another server took over, since it may lack the last writes.

        Returns True if a range was opened, and in all calls until `mark_failover_handled`. A server that is empty after
        a restart needs no range, because it has no lists either.
        """
        return any(await self._check_server(handled=False))

    async def mark_failover_handled(self) -> None:
        """Note that the new server is taken care of; `open_after_failover` returns False from now on."""
        await self._check_server(handled=True)

    async def _check_server(self, *, handled: bool) -> list[int]:
        now = now_ms()
        bounds = first_id_at(now - REACH_S * 1_000), first_id_at(now)
        return await self._functions.call_each("settle", self._keys, *bounds, _horizon(), WINDOW_S, int(handled))

    async def close(self) -> None:
        """Close the open range; the next `extend` opens a new one."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in self._keys:
                pipe.hdel(key, _OPEN)
            await pipe.execute()

    async def of(self, user_id: int) -> list[UnpushedRange]:
        """The ranges of the last 7 days that the reader's list may lack, oldest first."""
        return self.parse(await self._redis.hgetall(self.key_of(user_id)))

    def key_of(self, user_id: int) -> str:
        """The key of the hash that `parse` reads, in the slot of the user's list."""
        return self._keys[self._lists.bucket(user_id)]

    @staticmethod
    def parse(fields: dict[Any, Any]) -> list[UnpushedRange]:
        """Return the ranges of the last 7 days in the fields of the hash, oldest first."""
        return [gap for gap in _gaps(fields) if gap.last_id >= _horizon()]


def _horizon() -> int:
    return first_id_at(now_ms() - WINDOW_S * 1_000)


def _gaps(fields: dict[Any, Any]) -> list[UnpushedRange]:
    opened = fields.get(_OPEN)
    found = []
    for number, bounds in fields.items():
        if number not in (_OPEN, _LAST, _SERVER):
            first, last = bounds.split(b"-")
            found.append(UnpushedRange(int(number), int(first), int(last), number == opened))
    return sorted(found, key=lambda gap: gap.gap_id)
