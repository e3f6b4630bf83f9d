"""A rate shared by processes."""

import asyncio

from redis.asyncio import Redis

from libs.feedlists.functions import Functions

BURST_S = 0.1  # what sleeping too long loses is caught up within this time


class SharedRate:
    """At most `per_s` on average over all who use the name, by the clock of Redis (GCRA).

    Takers queue by sleeping. Each waits for one take at a time, so the queue is as long as there are takers, and one
    that dies leaves at most one take unused.
    """

    def __init__(self, redis: "Redis", prefix: str, name: str, per_s: int) -> None:
        self._functions = Functions(redis)
        self._key = f"{prefix}rate:{name}"
        self._per_s = per_s

    async def take(self, count: int) -> None:
        """Reserve `count`, then wait until it may go."""
        wait_ms = await self.reserve(count)
        if wait_ms:
            await asyncio.sleep(wait_ms / 1000)

    async def reserve(self, count: int) -> int:
        """Milliseconds after which `count` may go."""
        burst_us = int(BURST_S * 1_000_000)
        return int(await self._functions.call("reserve", [self._key], count, self._per_s, burst_us))
