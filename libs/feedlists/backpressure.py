"""The backpressure level of the moment, as fan-out workers agree on it."""

from redis.asyncio import Redis

from libs.common.stores.redis import translates_errors

LIFE_S = 30  # without workers there is no level


@translates_errors
class PublishedBackpressure:
    """One number for all."""

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._redis = redis
        self._key = f"{prefix}level"

    async def publish(self, level: int) -> None:
        await self._redis.set(self._key, int(level), ex=LIFE_S)

    async def read(self) -> int | None:
        """None when no worker has said anything for 30 s."""
        raw = await self._redis.get(self._key)
        return None if raw is None else int(raw)
