"""Marks that a reader did something, or that a post or an author is gone: what a kept page may not outlive.

Written before an act is answered, so that its maker's next request sees it through any replica of the feed service.
The event that follows says the same again: it makes up for a mark that Redis did not take.
"""

import asyncio
from collections.abc import Iterable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.common.runtime.logging import get_logger
from libs.common.runtime.settings import Settings

DEADLINE_S = 0.1  # an act is not held up for longer by its marks
LIFE_S = 180  # longer than any page is kept
log = get_logger(__name__)


class Acts:
    """Shared by the feed service and the services that change what a feed shows."""

    def __init__(self, redis: "Redis", settings: Settings) -> None:
        self._redis = redis
        self._prefix = settings.redis_prefix("acts")

    def reader_key(self, user_id: int) -> str:
        """Counts what changed the feed of a reader."""
        return f"{self._prefix}of:{user_id}"

    def gone_key(self, post_or_author_id: int) -> str:
        """There while what is gone may still stand in a kept page."""
        return f"{self._prefix}gone:{post_or_author_id}"

    async def mark(self, readers: Iterable[int], gone: Iterable[int] = ()) -> None:
        """Pages kept for these readers, and all with these posts or authors, are to be made anew.

        Raises:
            RedisError, OSError, TimeoutError: the marks may not be there.
        """
        keys = [*map(self.reader_key, set(readers)), *map(self.gone_key, set(gone))]
        if not keys:
            return
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.incr(key)
                pipe.expire(key, LIFE_S)
            await pipe.execute()

    async def try_mark(self, readers: Iterable[int], gone: Iterable[int] = ()) -> None:
        """The same within 0.1 s, and never raises: an act that is committed has succeeded."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self.mark(readers, gone)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("act_not_marked", error=repr(error))
