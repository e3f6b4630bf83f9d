"""Rate limits that processes share through Redis (GCRA): our own work waits, requests of callers are refused."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cachetools import TTLCache
from redis.asyncio import Redis

from libs.common.stores.redis_functions import Functions

BURST_S = 0.1  # a take may be early by this much, because sleeps last longer than requested
_LIBRARY = Path(__file__).parent / "rate.lua"
_US = 1_000_000
_NO_BOUND_US = 1 << 52  # larger than any wait, and exact as a Lua number
LOCAL_SHARE = 0.1  # the share of a limit that one process admits without the shared count
LOCAL_CALLERS, LOCAL_S = 20_000, 3_600  # remembered callers (about 4 MB), and the longest period of a limit


class SharedRateLimit:
    """Admits at most `per_s` items per second on average, over all processes that use the name.

    A process reserves a time and sleeps until then. So a process that dies wastes at most one reservation.
    """

    def __init__(self, redis: "Redis", prefix: str, name: str, per_s: int) -> None:
        self._functions = Functions(redis, _LIBRARY)
        self._key = f"{prefix}rate:{name}"
        self._per_s = per_s

    async def take(self, count: int) -> None:
        """Wait until `count` more items are admitted."""
        wait_ms = await self.reserve(count)
        if wait_ms:
            await asyncio.sleep(wait_ms / 1000)

    async def reserve(self, count: int) -> int:
        """Reserve `count` items; the wait until they are admitted, in milliseconds."""
        takes_us = math.ceil(count * _US / self._per_s)
        ahead_us: int = (await self._functions.call("take", [self._key], takes_us, _NO_BOUND_US))[0]
        return max(0, math.ceil((ahead_us - BURST_S * _US) / 1000))


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `count` requests in `period_s`. All may come in one burst; then one more after each `share_us`.

    With `per_address` the limit holds for an address, with or without a signed-in user.
    """

    name: str
    count: int
    period_s: int
    per_address: bool = False

    @property
    def share_us(self) -> int:
        """The time until one more request is admitted."""
        return math.ceil(self.period_s * _US / self.count)

    @property
    def whole_us(self) -> int:
        """The time until a full burst is admitted again."""
        return self.share_us * self.count


@dataclass(frozen=True, slots=True)
class RateVerdict:
    """The result for one request, from the strictest of its limits.

    `remaining` more requests are admitted at once, and a full burst after `reset_s`. `retry_after_s` is 0 unless the
    request is refused.
    """

    limit: RateLimit
    remaining: int
    reset_s: int
    retry_after_s: int


KeyedLimits = tuple[Sequence[str], Sequence[RateLimit]]
"""The limits of one caller, and the Redis key of each; all keys are in one slot."""


class RateCheck:
    """Counts one request against its limits, in a call of its own or in a pipeline with other Redis commands.

    A request may count for several callers, such as a user and an address. Each is counted separately: if one refuses
    the request, it still counts for the others.
    """

    def __init__(self, functions: Functions, callers: Sequence[KeyedLimits]) -> None:
        self._functions = functions
        self.callers = callers
        self.verdict: RateVerdict | None = None
        """None until the request is counted."""

    async def take(self) -> RateVerdict:
        """Count the request now. Raises RedisError."""
        return self.settle(await self._functions.pipelined(self.queue))

    def queue(self, pipe: Any) -> int:
        """Add the commands to a pipeline; their number. Pass their answers to `settle`."""
        for keys, limits in self.callers:
            self._functions.send(pipe, "take", keys, *(us for one in limits for us in (one.share_us, one.whole_us)))
        return len(self.callers)

    @property
    def admitted(self) -> bool:
        """True if the request is counted and not refused."""
        return self.verdict is not None and not self.verdict.retry_after_s

    def settle(self, answers: Sequence[Sequence[int]]) -> RateVerdict:
        """Compute the verdict from the answers of Redis."""
        limits = [limit for _, limits in self.callers for limit in limits]
        ahead_us = [us for answer in answers for us in answer]
        self.verdict = _strictest(map(_verdict, limits, ahead_us))
        return self.verdict


def _verdict(limit: RateLimit, ahead_us: int) -> RateVerdict:
    left_us = limit.whole_us - ahead_us
    reset_s = math.ceil(min(ahead_us, limit.whole_us) / _US)
    return RateVerdict(limit, max(0, left_us // limit.share_us), reset_s, max(0, math.ceil(-left_us / _US)))


def _strictest(verdicts: Iterable[RateVerdict]) -> RateVerdict:
    return min(verdicts, key=lambda verdict: (-verdict.retry_after_s, verdict.remaining))


class LocalRateLimiter:
    """Counts requests in this process, against a share of each limit, when Redis is too slow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free_us: TTLCache[str, int] = TTLCache(LOCAL_CALLERS, LOCAL_S, clock)

    def take(self, check: RateCheck) -> RateVerdict:
        """Count the request unless it is refused."""
        now_us = int(self._clock() * _US)
        ahead_us: dict[str, int] = {}
        verdicts = []
        for keys, limits in check.callers:
            for key, limit in zip(keys, limits, strict=True):
                share = replace(limit, count=max(1, int(limit.count * LOCAL_SHARE)))
                ahead_us[key] = max(now_us, self._free_us.get(key, 0)) - now_us + share.share_us
                verdicts.append(_verdict(share, ahead_us[key]))
        strictest = _strictest(verdicts)
        if not strictest.retry_after_s:
            self._free_us.update({key: now_us + us for key, us in ahead_us.items()})
        return strictest


class RateLimiter:
    """Counts requests against limits. A limit of 0 is off; `disabled` turns all of them off."""

    def __init__(self, redis: "Redis", prefix: str, *, disabled: bool = False) -> None:
        self._functions = Functions(redis, _LIBRARY)
        self._prefix = prefix
        self._disabled = disabled

    def check(self, callers: Mapping[str, Sequence[RateLimit]]) -> RateCheck | None:
        """The check for one request that counts for these callers; None if no limit applies."""
        keyed: list[KeyedLimits] = []
        for name, limits in callers.items():
            active = [limit for limit in limits if limit.count and not self._disabled]
            if active:
                keyed.append(([f"{self._prefix}{{{name}}}:{limit.name}" for limit in active], active))
        return RateCheck(self._functions, keyed) if keyed else None

    async def take_all(self, checks: Sequence[RateCheck]) -> None:
        """Count all requests in one round trip, ignoring the verdicts. Raises RedisError."""
        await self._functions.pipelined(lambda pipe: [check.queue(pipe) for check in checks])
