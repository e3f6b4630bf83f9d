"""Fan-out: deliveries a second of one process into full feeds, beside redis-benchmark's pipelined LPUSH."""

import asyncio
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from redis.asyncio import Redis

from bench.figures import Figure, Row
from libs.common.core.ids import first_id_at, now_ms
from libs.common.core.settings import Settings
from libs.common.stores.redis import open_redis
from libs.feedlists import CAP, FeedLists

BUCKETS = 16
PAGE = 8_000  # followers handled together, as in a chunk of the worker
PIPELINE = 100
REFERENCE = "bench-lpush:"


@dataclass(frozen=True, slots=True)
class Size:
    """`requests` are those of redis-benchmark."""

    feeds: int = 50_000
    rounds: int = 3
    requests: int = 1_000_000


def reference_rate(redis_url: str, size: Size) -> float:
    """redis-benchmark's own pipelined LPUSH of 19-digit values into as many full feeds, requests a second."""
    parts = urlsplit(redis_url)
    command = [
        "redis-benchmark", "-h", str(parts.hostname), "-p", str(parts.port), "-P", str(PIPELINE), "-n",
        str(size.requests), "-r", str(size.feeds), "-q", "LPUSH", f"{REFERENCE}__rand_int__", "1234567890123456789",
    ]  # fmt: skip
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    rates = re.findall(r"([\d.]+) requests per second", output)
    return float(rates[-1])


async def measure(settings: Settings, size: Size = Size()) -> list[Row]:
    """Rows of the table. Fill the feeds, then push posts one by one into all of them; the best of the rounds."""
    async with open_redis(settings) as redis:
        lists = FeedLists(redis, "bench-fanout:", BUCKETS)
        users = [first_id_at(now_ms()) + i * 4_096 for i in range(size.feeds)]
        first = first_id_at(now_ms())
        try:
            await fill(lists, users, first)
            before = (await redis.info("memory"))["used_memory"]
            pushed = [await _rate(lists, users, first + CAP + n) for n in range(1, size.rounds + 1)]
            again = [await _rate(lists, users, first + CAP + size.rounds) for _ in range(size.rounds)]
            await clear(redis, "bench-fanout:*")
            memory = (before - (await redis.info("memory"))["used_memory"]) / size.feeds
            await _fill_reference(redis, size.feeds)
            reference = Figure(reference_rate(settings.redis_url.get_secret_value(), size), "/s")
            sorted_set = Figure(await _sorted_set_bytes(redis), "B")
        finally:
            for pattern in ("bench-fanout:*", f"{REFERENCE}*"):
                await clear(redis, pattern)
    return [
        Row("fan-out deliveries", best(pushed), reference, f"best of {size.rounds}"),
        Row("… redelivered", best(again), reference, f"best of {size.rounds}"),
        Row("memory of a feed of 500, beside a sorted set", Figure(memory, "B"), sorted_set),
    ]


def best(rates: Sequence[float]) -> Figure:
    """Return the highest rate, and the spread."""
    return Figure(max(rates), "/s", min(rates), max(rates))


async def fill(lists: FeedLists, users: list[int], first: int) -> None:
    """Full lists of ids from `first` on."""
    for start in range(0, len(users), PAGE):
        page = users[start : start + PAGE]
        for low in range(0, len(page), PIPELINE):
            await asyncio.gather(*map(lists.begin, page[low : low + PIPELINE]))
        for low in range(0, CAP, 25):
            await lists.deliver(page, range(first + low, first + low + 25))


async def _fill_reference(redis: "Redis", feeds: int) -> None:
    values = [str(1_234_567_890_123_456_789 - i) for i in range(CAP)]
    for start in range(0, feeds, PIPELINE):
        async with redis.pipeline(transaction=False) as pipe:
            for key in range(start, min(start + PIPELINE, feeds)):
                pipe.rpush(f"{REFERENCE}{key:012d}", *values)
            await pipe.execute()


async def _sorted_set_bytes(redis: "Redis") -> float:
    """Return the memory of a sorted set with the same number of ids."""
    key = f"{REFERENCE}sorted-set"
    await redis.zadd(key, {str(1_234_567_890_123_456_789 - i): i for i in range(CAP)})
    return float(await redis.memory_usage(key, samples=0) or 0)


async def _rate(lists: FeedLists, users: list[int], post_id: int) -> float:
    started = time.perf_counter()
    for start in range(0, len(users), PAGE):
        await lists.deliver(users[start : start + PAGE], [post_id])
    return len(users) / (time.perf_counter() - started)


async def clear(redis: "Redis", pattern: str) -> None:
    """Delete the keys that match the pattern."""
    async for key in redis.scan_iter(match=pattern, count=5_000):
        await redis.unlink(key)
