"""Rates that processes share, by the clock of Redis (GCRA): our own work waits, callers are refused."""

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

BURST_S = 0.1  # what sleeping too long loses is caught up within this time
_LIBRARY = Path(__file__).parent / "rate.lua"
_US = 1_000_000
_NEVER_US = 1 << 52  # further ahead than anything reaches, and exact in Lua
LOCAL_SHARE = 0.1  # of a limit, for what one process lets pass without the shared count
LOCAL_CALLERS, LOCAL_S = 20_000, 3_600  # remembered: some 4 MB, and the longest period of a limit


class SharedRateLimit:
    """At most `per_s` on average over all who use the name.

    Takers queue by sleeping. Each waits for one take at a time, so the queue is as long as there are takers, and one
    that dies leaves at most one take unused.
    """

    def __init__(self, redis: "Redis", prefix: str, name: str, per_s: int) -> None:
        self._functions = Functions(redis, _LIBRARY)
        self._key = f"{prefix}rate:{name}"
        self._per_s = per_s

    async def take(self, count: int) -> None:
        """Reserve `count`, then wait until it may go."""
        wait_ms = await self.reserve(count)
        if wait_ms:
            await asyncio.sleep(wait_ms / 1000)

    async def reserve(self, count: int) -> int:
        """Milliseconds after which `count` may go."""
        takes_us = math.ceil(count * _US / self._per_s)
        ahead_us: int = (await self._functions.call("take", [self._key], takes_us, _NEVER_US))[0]
        return max(0, math.ceil((ahead_us - BURST_S * _US) / 1000))


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many in a time. All of them may come at once; then one more as soon as its share of the time has gone by.

    `per_address`: it is the address that is limited, whoever asks from there.
    """

    name: str
    count: int
    period_s: int
    per_address: bool = False

    @property
    def share_us(self) -> int:
        """After how long one more is free."""
        return math.ceil(self.period_s * _US / self.count)

    @property
    def whole_us(self) -> int:
        """After how long all are free again."""
        return self.share_us * self.count


@dataclass(frozen=True, slots=True)
class RateVerdict:
    """On one request, by the limit that leaves it least.

    `remaining` more may come at once, all of them again after `reset_s`; `retry_after_s` is 0 unless it is refused.
    """

    limit: RateLimit
    remaining: int
    reset_s: int
    retry_after_s: int


Keyed = tuple[Sequence[str], Sequence[RateLimit]]  # one caller's: keys of one slot, and their limits


class RateCheck:
    """One request to be counted: alone, or in a pipeline with what else it asks of Redis.

    It may be charged to several callers, such as a person and an address. Each is counted for itself: what one of them
    is refused, the others have spent.
    """

    def __init__(self, functions: Functions, callers: Sequence[Keyed]) -> None:
        self._functions = functions
        self.callers = callers
        self.verdict: RateVerdict | None = None
        """None until it is counted."""

    async def take(self) -> RateVerdict:
        """Count it now. Raises RedisError."""
        return self.settle(await self._functions.pipelined(self.queue))

    def queue(self, pipe: Any) -> int:
        """Count it with the pipeline, whose answers to this go to `settle`: so many."""
        for keys, limits in self.callers:
            self._functions.send(pipe, "take", keys, *(us for one in limits for us in (one.share_us, one.whole_us)))
        return len(self.callers)

    @property
    def admitted(self) -> bool:
        """Whether it is counted, and not refused."""
        return self.verdict is not None and not self.verdict.retry_after_s

    def settle(self, answers: Sequence[Sequence[int]]) -> RateVerdict:
        """Take in what Redis answered."""
        limits = [limit for _, limits in self.callers for limit in limits]
        ahead_us = [us for answer in answers for us in answer]
        self.verdict = _strictest(map(_verdict, limits, ahead_us))
        return self.verdict


def _verdict(limit: RateLimit, ahead_us: int) -> RateVerdict:
    left_us = limit.whole_us - ahead_us
    reset_s = math.ceil(min(ahead_us, limit.whole_us) / _US)
    return RateVerdict(limit, max(0, left_us // limit.share_us), reset_s, max(0, math.ceil(-left_us / _US)))


def _strictest(verdicts: Iterable[RateVerdict]) -> RateVerdict:
    return min(verdicts, key=lambda one: (-one.retry_after_s, one.remaining))


class LocalRateLimiter:
    """Counts in this process what the shared count had no time for, against a share of each limit."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free_us: TTLCache[str, int] = TTLCache(LOCAL_CALLERS, LOCAL_S, clock)

    def take(self, charge: RateCheck) -> RateVerdict:
        """Count it, unless it is refused."""
        now_us = int(self._clock() * _US)
        ahead_us: dict[str, int] = {}
        verdicts = []
        for keys, limits in charge.callers:
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

    def charge(self, callers: Mapping[str, Sequence[RateLimit]]) -> RateCheck | None:
        """One request, by the name of each caller that it is charged to; None when nothing limits it."""
        keyed: list[Keyed] = []
        for who, limits in callers.items():
            real = [limit for limit in limits if limit.count and not self._disabled]
            if real:
                keyed.append(([f"{self._prefix}{{{who}}}:{limit.name}" for limit in real], real))
        return RateCheck(self._functions, keyed) if keyed else None

    async def take_all(self, charges: Sequence[RateCheck]) -> None:
        """Count them in one round trip, whatever comes of it. Raises RedisError."""
        await self._functions.pipelined(lambda pipe: [charge.queue(pipe) for charge in charges])
