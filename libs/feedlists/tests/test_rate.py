"""The shared rate on a real Redis."""

import asyncio
import time

import pytest
from redis.asyncio import Redis

from libs.common.testing.eventually import eventually
from libs.feedlists.rate import SharedRate

pytestmark = pytest.mark.stores


async def test_what_goes_beyond_the_burst_waits_its_turn(redis: "Redis", prefix: str) -> None:
    one, other = (SharedRate(redis, prefix, "test", 10_000) for _ in range(2))
    started = time.perf_counter()
    waits = [await rate.reserve(1_000) for rate in (one, other, one, other)]
    passed_ms = (time.perf_counter() - started) * 1000
    assert waits[0] == 0
    for turn, wait in enumerate(waits):
        assert 100 * turn - passed_ms - 1 <= wait <= 100 * turn
    assert await SharedRate(redis, prefix, "another", 10_000).reserve(1_000) == 0


async def test_takers_together_keep_the_rate(redis: "Redis", prefix: str) -> None:
    rates = [SharedRate(redis, prefix, "test", 20_000) for _ in range(3)]
    started = time.perf_counter()
    await asyncio.gather(*(rate.take(1_000) for rate in rates for _ in range(3)))
    passed_s = time.perf_counter() - started
    assert passed_s >= 0.34  # 9,000 less the burst of 2,000: never sooner


async def test_unused_time_is_not_saved_up(redis: "Redis", prefix: str) -> None:
    rate = SharedRate(redis, prefix, "test", 100_000)
    await rate.take(1_000)

    async def run_out() -> bool:
        return not await redis.exists(f"{prefix}rate:test")

    await eventually(run_out)
    assert await rate.reserve(20_000) == pytest.approx(100, abs=2)
