"""Which posts were not pushed because fan-out was too far behind."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from libs.common.core.ids import first_id_at, now_ms
from libs.common.stores.redis import translates_errors
from libs.common.stores.redis_functions import Functions
from libs.feedlists.lists import LIBRARY, FeedLists

WINDOW_S = 7 * 86_400  # older posts are in no feed
REACH_S = 300  # what a server may have lost when another takes its place: replicas lag by far less
_OPEN, _LAST, _SERVER = b"open", b"last", b"server"


@dataclass(frozen=True, slots=True)
class UnpushedRange:
    """A closed interval of post ids, some of which were not pushed. Only while it is open does it grow.

    A reader who pulled a gap that is not open has all that was in it: later gaps have greater numbers.
    """

    gap_id: int
    first_id: int
    last_id: int
    is_open: bool


@translates_errors
class UnpushedRanges:
    """The gaps, once for each bucket. They may be lost with its lists: new ones are made from the records."""

    def __init__(self, redis: "Redis", lists: FeedLists) -> None:
        self._redis = redis
        self._functions = Functions(redis, LIBRARY)
        self._lists = lists
        self._keys = lists.bucket_keys("gaps")

    async def extend(self, post_ids: Iterable[int]) -> None:
        """Widen the open gap to hold these posts, and open one if there is none. Doing it again changes nothing."""
        if ids := sorted(post_ids):
            await self._functions.call_each("extend", self._keys, ids[0], ids[-1], _horizon(), WINDOW_S)

    async def settle(self) -> bool:
        """Open a gap where another server has taken the place of the one before, with its data but for the last.

        Whether one was opened, again until `settled`. It holds what was posted in the last five minutes. A server that
        came back empty has no lists either.
        """
        return any(await self._settle(done=False))

    async def settled(self) -> None:
        """What the new server asked for is done: it is the one of before from now on."""
        await self._settle(done=True)

    async def _settle(self, *, done: bool) -> list[int]:
        now = now_ms()
        bounds = first_id_at(now - REACH_S * 1_000), first_id_at(now)
        return await self._functions.call_each("settle", self._keys, *bounds, _horizon(), WINDOW_S, int(done))

    async def close(self) -> None:
        """Let the next `extend` open a new gap."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in self._keys:
                pipe.hdel(key, _OPEN)
            await pipe.execute()

    async def of(self, user_id: int) -> list[UnpushedRange]:
        """The ranges of the last 7 days that may have to be merged into the reader's list, oldest first."""
        fields = await self._redis.hgetall(self._keys[self._lists.bucket(user_id)])
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
