"""Shared rates on a real Redis, alone and as a cluster."""

import asyncio
import time

import pytest
from redis.asyncio import Redis

from libs.common.stores.rate import LOCAL_SHARE, LocalRateLimiter, RateLimit, RateLimiter, RateVerdict, SharedRateLimit
from libs.common.testing.eventually import eventually
from libs.common.web.limits import HOUR_S

pytestmark = pytest.mark.stores


async def test_what_goes_beyond_the_burst_waits_its_turn(redis: "Redis", prefix: str) -> None:
    one, other = (SharedRateLimit(redis, prefix, "test", 10_000) for _ in range(2))
    started = time.perf_counter()
    waits = [await rate.reserve(1_000) for rate in (one, other, one, other)]
    passed_ms = (time.perf_counter() - started) * 1000
    assert waits[0] == 0
    for turn, wait in enumerate(waits):
        assert 100 * turn - passed_ms - 1 <= wait <= 100 * turn
    assert await SharedRateLimit(redis, prefix, "another", 10_000).reserve(1_000) == 0


async def test_takers_together_keep_the_rate(redis: "Redis", prefix: str) -> None:
    rates = [SharedRateLimit(redis, prefix, "test", 20_000) for _ in range(3)]
    started = time.perf_counter()
    await asyncio.gather(*(rate.take(1_000) for rate in rates for _ in range(3)))
    passed_s = time.perf_counter() - started
    assert passed_s >= 0.34  # 9,000 less the burst of 2,000: never sooner


async def test_unused_time_is_not_saved_up(redis: "Redis", prefix: str) -> None:
    rate = SharedRateLimit(redis, prefix, "test", 100_000)
    await rate.take(1_000)

    async def run_out() -> bool:
        return not await redis.exists(f"{prefix}rate:test")

    await eventually(run_out)
    assert await rate.reserve(20_000) == pytest.approx(100, abs=2)


POSTS, REQUESTS = RateLimit("posts", 3, HOUR_S), RateLimit("requests", 5, HOUR_S)


async def ask(limiter: RateLimiter, who: str, *limits: RateLimit) -> RateVerdict:
    charge = limiter.check({who: limits})
    assert charge is not None
    return await charge.take()


async def test_all_of_a_limit_at_once_and_no_more(redis: "Redis", prefix: str) -> None:
    limiters = [RateLimiter(redis, prefix) for _ in range(2)]
    verdicts = await asyncio.gather(*(ask(limiters[i % 2], "user:1", POSTS) for i in range(20)))
    assert sorted(v.remaining for v in verdicts if not v.retry_after_s) == [0, 1, 2]
    third = HOUR_S // 3
    assert all(third - 10 < v.retry_after_s <= third for v in verdicts if v.retry_after_s)
    assert (await ask(limiters[0], "user:2", POSTS)).remaining == 2


async def test_what_is_refused_by_one_limit_takes_nothing_from_another(redis: "Redis", prefix: str) -> None:
    limiter = RateLimiter(redis, prefix)
    for remaining in (2, 1, 0):
        verdict = await ask(limiter, "user:1", REQUESTS, POSTS)
        assert (verdict.limit, verdict.remaining) == (POSTS, remaining)
    for _ in range(3):
        assert (await ask(limiter, "user:1", REQUESTS, POSTS)).retry_after_s
    assert (await ask(limiter, "user:1", REQUESTS)).remaining == 1


async def test_a_share_of_the_time_frees_one(redis: "Redis", prefix: str) -> None:
    limiter, quick = RateLimiter(redis, prefix), RateLimit("quick", 5, 1)
    verdicts = [await ask(limiter, "user:1", quick) for _ in range(6)]
    assert verdicts[-1].retry_after_s <= 1

    async def admitted() -> bool:
        return not (await ask(limiter, "user:1", quick)).retry_after_s

    await eventually(admitted)


async def test_what_is_lifted_is_not_counted(redis: "Redis", prefix: str) -> None:
    assert RateLimiter(redis, prefix).check({"user:1": [RateLimit("posts", 0, HOUR_S)]}) is None
    assert RateLimiter(redis, prefix, disabled=True).check({"user:1": [POSTS]}) is None


async def test_counting_in_a_pipeline(redis: "Redis", prefix: str) -> None:
    limiter = RateLimiter(redis, prefix)
    await ask(limiter, "user:1", POSTS)
    charge = limiter.check({"user:1": [REQUESTS, POSTS], "ip:1": [REQUESTS]})
    assert charge is not None
    assert not charge.admitted
    async with redis.pipeline(transaction=False) as pipe:
        pipe.get(f"{prefix}elsewhere")
        assert charge.queue(pipe) == 2
        _, *answers = await pipe.execute()
    assert charge.settle(answers).remaining == 1
    assert charge.admitted


async def test_each_caller_of_a_charge_is_counted(redis: "Redis", prefix: str) -> None:
    """The callers' keys lie on different nodes of a cluster."""
    limiter = RateLimiter(redis, prefix)
    for number in range(REQUESTS.count):
        charge = limiter.check({"ip:1": [REQUESTS], f"user:{number}": [POSTS]})
        assert charge is not None
        assert not (await charge.take()).retry_after_s
    charge = limiter.check({"ip:1": [REQUESTS], "user:9": [POSTS]})
    assert charge is not None
    assert (await charge.take()).limit == REQUESTS
    assert not charge.admitted


async def test_a_process_lets_a_share_pass_by_itself(redis: "Redis", prefix: str) -> None:
    now_s = 0.0
    local = LocalRateLimiter(lambda: now_s)
    limits = [RateLimit("many", 20, 60), RateLimit("few", 3, HOUR_S)]
    for who, names in (("user:1", limits[:1]), ("user:2", limits)):
        charge = RateLimiter(redis, prefix).check({who: names})
        assert charge is not None
        passed = [not local.take(charge).retry_after_s for _ in range(4)]
        assert passed == [True, len(names) == 1, False, False]
    charge = RateLimiter(redis, prefix).check({"user:1": limits[:1]})
    assert charge is not None
    now_s += 60 / (20 * LOCAL_SHARE)
    assert not local.take(charge).retry_after_s
