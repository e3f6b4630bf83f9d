"""Rates that processes share, by the clock of Redis (GCRA): our own work waits, callers are refused."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from libs.common.stores.functions import Functions

BURST_S = 0.1  # what sleeping too long loses is caught up within this time
_LIBRARY = Path(__file__).parent / "rate.lua"
_US = 1_000_000
_NEVER_US = 1 << 52  # further ahead than anything reaches, and exact in Lua


class SharedRate:
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
class Limit:
    """So many in a time. All of them may come at once; then one more as soon as its share of the time has gone by."""

    name: str
    count: int
    period_s: int

    @property
    def share_us(self) -> int:
        """After how long one more is free."""
        return math.ceil(self.period_s * _US / self.count)

    @property
    def whole_us(self) -> int:
        """After how long all are free again."""
        return self.share_us * self.count


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one request, by the limit that leaves it least.

    `remaining` more may come at once, all of them again after `reset_s`; `retry_after_s` is 0 unless it is refused.
    """

    limit: Limit
    remaining: int
    reset_s: int
    retry_after_s: int


class Charge:
    """One request to be counted: alone, or in a pipeline with what else it asks of Redis."""

    def __init__(self, functions: Functions, keys: Sequence[str], limits: Sequence[Limit]) -> None:
        self._functions = functions
        self._keys = keys
        self._limits = limits
        self._args = [us for one in limits for us in (one.share_us, one.whole_us)]
        self.verdict: Verdict | None = None
        """None until it is counted."""

    async def take(self) -> Verdict:
        """Count it now. Raises RedisError."""
        return self.settle(await self._functions.call("take", self._keys, *self._args))

    def queue(self, pipe: Any) -> None:
        """Count it with the pipeline, whose answer to this goes to `settle`."""
        self._functions.send(pipe, "take", self._keys, *self._args)

    @property
    def admitted(self) -> bool:
        """Whether it is counted, and not refused."""
        return self.verdict is not None and not self.verdict.retry_after_s

    def settle(self, answer: Sequence[int]) -> Verdict:
        """Take in what Redis answered."""
        verdicts = map(_verdict, self._limits, answer)
        self.verdict = min(verdicts, key=lambda one: (-one.retry_after_s, one.remaining))
        return self.verdict


def _verdict(limit: Limit, ahead_us: int) -> Verdict:
    left_us = limit.whole_us - ahead_us
    reset_s = math.ceil(min(ahead_us, limit.whole_us) / _US)
    return Verdict(limit, max(0, left_us // limit.share_us), reset_s, max(0, math.ceil(-left_us / _US)))


class Limiter:
    """Counts requests against limits. A limit of 0 is none; `lifted`, none is."""

    def __init__(self, redis: "Redis", prefix: str, *, lifted: bool = False) -> None:
        self._functions = Functions(redis, _LIBRARY)
        self._prefix = prefix
        self._lifted = lifted

    def charge(self, who: str, limits: Sequence[Limit]) -> Charge | None:
        """One request of `who`; None when nothing limits it."""
        real = [limit for limit in limits if limit.count and not self._lifted]
        keys = [f"{self._prefix}{{{who}}}:{limit.name}" for limit in real]
        return Charge(self._functions, keys, real) if real else None
