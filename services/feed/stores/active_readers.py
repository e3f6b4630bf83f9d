"""Readers of feeds in Redis, as one HyperLogLog for each minute and each hour.

A HyperLogLog takes at most 12 KB for any number of readers. Its standard error is 0.8 %.
"""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from redis.asyncio import Redis

from libs.common.stores.redis import translates_errors

WINDOWS = {"5m": (60, 5), "24h": (3_600, 24)}
"""Window → seconds of a bucket, buckets. The current bucket is added, so a window is up to one bucket longer."""
READERS_A_CALL = 1_000  # Redis adds them in less than a millisecond, while other calls wait


@translates_errors
class RedisReadersLog:
    """Implements `ports.ReadersLog`. All keys are in one slot, because PFCOUNT reads those of a window together."""

    def __init__(self, redis: "Redis", prefix: str, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._prefix = f"{prefix}{{readers}}:"
        self._clock = clock

    async def add(self, user_ids: Collection[int]) -> Mapping[str, int]:
        now_s, ids = int(self._clock()), list(user_ids)
        async with self._redis.pipeline(transaction=False) as pipe:
            for window, (bucket_s, buckets) in WINDOWS.items():
                key = self._key(window, now_s // bucket_s)
                for start in range(0, len(ids), READERS_A_CALL):
                    pipe.pfadd(key, *ids[start : start + READERS_A_CALL])
                pipe.expire(key, bucket_s * (buckets + 2))
            for window, (bucket_s, buckets) in WINDOWS.items():
                current = now_s // bucket_s
                pipe.pfcount(*(self._key(window, current - age) for age in range(buckets + 1)))
            answers: Any = await pipe.execute()
        return dict(zip(WINDOWS, answers[-len(WINDOWS) :], strict=True))

    def _key(self, window: str, bucket: int) -> str:
        return f"{self._prefix}{window}:{bucket}"
