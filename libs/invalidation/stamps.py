"""Marks that somebody did something, that people parted, or that a post or an author is not what it was: what is kept
may not outlive them.

Written before an act is answered, so that its maker's next request sees it through any replica of the feed service.
The event that follows says the same again: it makes up for a mark that Redis did not take.
"""

import asyncio
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.common.core.logging import get_logger
from libs.common.core.settings import Settings
from libs.common.stores.redis import get_many

DEADLINE_S = 0.1  # an act is not held up for longer by its marks
ACT_S = 180  # longer than anything is kept that depends on them
LAST_KNOWN_S = 86_400  # maximum age of records that are shown while their owner is away (docs/figures.md)
CLOCKS_APART_S = 1  # of two machines that are kept on time, far beyond what they are
log = get_logger(__name__)


class Acts:
    """Shared by the feed service and the services that change what a feed shows.

    What is kept remembers the marks that it saw, and is true while they are the same. A mark is never
    written a second time with the same value, so that one which ran out in between is no trap.
    """

    def __init__(self, redis: "Redis", settings: Settings) -> None:
        self._redis = redis
        self._prefix = settings.redis_prefix("acts")
        self._deadline_s = DEADLINE_S * settings.patience
        self.since = f"{self._prefix}birth"
        """The key of what tells this Redis from one that was emptied, or lost its last marks."""
        self.any_outdated = f"{self._prefix}outdated"
        """The key of the last mark on any post or author: while it stays the same none of them need be looked at."""
        self.any_pulled = f"{self._prefix}pulled"
        """The same for the posts of authors whose readers pull."""
        self.any_skipped = f"{self._prefix}skipped"
        """The same for posts that were not pushed: readers pull the gap that they lie in."""

    def of(self, user_id: int) -> str:
        """The key of what a person did: posted, liked, followed, changed the profile."""
        return f"{self._prefix}of:{user_id}"

    def outdated(self, post_or_author_id: int) -> str:
        """The key of what became of a post or an author: edited, deleted, banned."""
        return f"{self._prefix}outdated:{post_or_author_id}"

    def changed(self, post_or_author_id: int) -> str:
        """The key of the same for a day: what was kept before is not shown, though its owner be away."""
        return f"{self._prefix}changed:{post_or_author_id}"

    def parted(self, user_id: int) -> str:
        """The key of a change in whom a person may see, or who may see them."""
        return f"{self._prefix}parted:{user_id}"

    async def born(self) -> bytes:
        """What tells this Redis from one that was emptied: the time (Unix, seconds), and a token. Raises RedisError."""
        raw: Any = await self._redis.set(self.since, _birth(), nx=True, get=True)
        return raw or await self.born()

    async def forget(self) -> None:
        """Take nothing for true that was kept before: marks may have been lost. Raises RedisError."""
        await self._redis.set(self.since, _birth())

    async def seen(self, keys: Iterable[str]) -> list[bytes]:
        """The marks under these keys, different from before also when Redis was emptied. Raises RedisError."""
        born, *marks = await get_many(self._redis, [self.since, *keys])
        born = born or await self.born()
        return [born + (mark or b"") for mark in marks]

    async def marked(self, keys: Iterable[str]) -> list[bool]:
        """Whether they have a mark. Raises RedisError."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.exists(key)
            return [bool(found) for found in await pipe.execute()]

    async def none_acted(self, reader_id: int | None, user_ids: Sequence[int], since: float) -> bool:
        """Whether these people did nothing, and are what they were. `Still` of `LastShown`."""
        people = {*user_ids, *([reader_id] if reader_id else [])}
        return await self._none([key(one) for one in people for key in (self.of, self.outdated)], since)

    async def none_parted(self, reader_id: int | None, user_ids: Sequence[int], since: float) -> bool:
        """Whether the reader may see them as before; nobody parts from oneself. `Still` of `LastShown`."""
        others = set(user_ids) - {reader_id}
        people = {*others, *([reader_id] if reader_id and others else [])}
        return await self._none([self.parted(one) for one in people], since)

    async def _none(self, keys: Sequence[str], since: float) -> bool:
        try:
            born, *marks = await get_many(self._redis, [self.since, *keys])
        except (RedisError, OSError):
            return False
        return born is not None and float(born.split(b"-")[0]) + CLOCKS_APART_S < since and not any(marks)

    async def mark(self, people: Iterable[int], outdated: Iterable[int] = (), parted: Iterable[int] = ()) -> None:
        """Kept pages of these people, and all that shows these posts and authors, are to be made anew.

        Raises:
            RedisError, OSError, TimeoutError: the marks may not be there.
        """
        gone = set(outdated)
        keys = [*map(self.of, set(people)), *map(self.outdated, gone), *map(self.parted, set(parted))]
        keys += [self.any_outdated] if gone else []
        if not keys:
            return
        mark = secrets.token_hex(8)
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.set(key, mark, ex=ACT_S)
            for one in gone:
                pipe.set(self.changed(one), b"", ex=LAST_KNOWN_S)
            await pipe.execute()

    async def mark_pulled(self) -> None:
        """An author posted whose readers pull. Raises RedisError."""
        await self._redis.set(self.any_pulled, secrets.token_hex(8), ex=ACT_S)

    async def mark_skipped(self) -> None:
        """Posts were not pushed to readers who would have them pushed. Raises RedisError."""
        await self._redis.set(self.any_skipped, secrets.token_hex(8), ex=ACT_S)

    async def try_mark(self, people: Iterable[int], outdated: Iterable[int] = (), parted: Iterable[int] = ()) -> None:
        """The same within 0.1 s, and never raises: an act that is committed has succeeded."""
        try:
            async with asyncio.timeout(self._deadline_s):
                await self.mark(people, outdated, parted)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("act_not_marked", error=repr(error))


def _birth() -> str:
    return f"{time.time():.0f}-{secrets.token_hex(8)}"
