"""The current backpressure level, which all fan-out workers share."""

from redis.asyncio import Redis

from libs.common.stores.redis import translates_errors
from libs.feedlists.levels import BackpressureLevel

LIFE_S = 30  # the level is unknown if no worker publishes it for this time


@translates_errors
class PublishedBackpressure:
    """Stores the level in Redis, for the fan-out workers and the feed service."""

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._redis = redis
        self._key = f"{prefix}level"

    async def publish(self, level: BackpressureLevel) -> None:
        """Publish the level to readers. Raises UnavailableError."""
        await self._redis.set(self._key, int(level), ex=LIFE_S)

    async def read(self) -> BackpressureLevel | None:
        """The level; None if no worker published one in the last 30 s. Raises UnavailableError."""
        raw = await self._redis.get(self._key)
        return None if raw is None else BackpressureLevel(int(raw))
