"""Cache stamps in Redis. A cached value records the stamps it was built under, and is dropped when one changes.

They are written before a change is answered. So the caller's next request sees the change through any replica. The
consumer of the event writes them again, for the case that Redis was down the first time.
"""

import asyncio
import secrets
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.common.core.settings import Settings
from libs.common.stores.redis import get_many, translates_errors
from libs.common.stores.redis_functions import Functions
from libs.contracts.base import Payload
from libs.invalidation.table import Invalidation, invalidation_of

DEADLINE_S = 0.1  # a request waits no longer for its stamps
STAMP_S = 180  # longer than any cached value that depends on a stamp
LAST_KNOWN_S = 86_400  # how long cached records may replace an owner that is unavailable (docs/figures.md)
LIBRARY = Path(__file__).parent / "library.lua"
CLOCK_SKEW_S = 1  # between two machines with synchronised clocks; far beyond what is usual
log = get_logger(__name__)


@translates_errors
class InvalidationStamps:
    """Shared by the feed service and the services that change what a feed shows.

    Stamps are random, so one that expired and was written again cannot look unchanged (ABA).
    """

    def __init__(self, redis: "Redis", settings: Settings) -> None:
        self._redis = redis
        self.functions = Functions(redis, LIBRARY)
        self._prefix = settings.redis_prefix("acts")
        self._deadline_s = DEADLINE_S * settings.timeout_factor
        self.generation_key = f"{self._prefix}birth"
        """Holds the generation of this Redis: another one after it was emptied or may have lost stamps."""
        self.any_changed = f"{self._prefix}outdated"
        """The key of the last stamp on any post or author. While it stays the same, no single one need be read."""
        self.any_profile = f"{self._prefix}profiles"
        """The key of the last stamp on any profile."""
        self.any_followees = f"{self._prefix}followees"
        """The key of the last change in the followees of unknown readers: an author was banned or changed the mode."""
        self.any_pulled = f"{self._prefix}pulled"
        """The key of the last stamp for posts of pulled authors."""
        self.all_pages = f"{self._prefix}skipped"
        """The key of the last stamp for all pages: posts were not pushed, or are visible again after a ban."""

    def activity(self, user_id: int) -> str:
        """The key that changes when the user posts, likes, follows or edits the profile."""
        return f"{self._prefix}of:{user_id}"

    def changed(self, entity_id: int) -> str:
        """The key that changes when a post or an author is edited, deleted or banned."""
        return f"{self._prefix}outdated:{entity_id}"

    def changed_lately(self, entity_id: int) -> str:
        """Return the key that is set for a day after a change.

        Records cached before the change are not shown, even while their owner is unavailable.
        """
        return f"{self._prefix}changed:{entity_id}"

    def profile(self, user_id: int) -> str:
        """The key that changes when the user's name, picture or ban changes."""
        return f"{self._prefix}profile:{user_id}"

    def recent(self, author_id: int) -> str:
        """The key of the author's newest posts; see `RecentPosts`."""
        return f"{self._prefix}recent:{{{author_id}}}"

    def recent_lease(self, author_id: int) -> str:
        """The key of the lease to fill the author's newest posts, in the same slot."""
        return f"{self.recent(author_id)}:lease"

    def visibility(self, user_id: int) -> str:
        """The key that changes when the set of users that this user may see, or that may see this user, changes."""
        return f"{self._prefix}parted:{user_id}"

    async def generation(self) -> bytes:
        """The generation of this Redis: its start (Unix time, seconds) and a token. Raises UnavailableError."""
        raw: Any = await self._redis.set(self.generation_key, _new_generation(), nx=True, get=True)
        return raw or await self.generation()

    async def bump_generation(self) -> None:
        """Drop all cached values: stamps may have been lost. Raises UnavailableError."""
        await self._redis.set(self.generation_key, _new_generation())

    async def read(self, keys: Iterable[str]) -> list[bytes]:
        """Return the stamps under these keys, each with the generation. Raises UnavailableError."""
        generation, *stamps = await get_many(self._redis, [self.generation_key, *keys])
        generation = generation or await self.generation()
        return [generation + (stamp or b"") for stamp in stamps]

    async def exist(self, keys: Iterable[str]) -> list[bool]:
        """Return whether each key has a stamp. Raises UnavailableError."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.exists(key)
            return [bool(found) for found in await pipe.execute()]

    async def unchanged(self, reader_id: int | None, user_ids: Sequence[int], since: float) -> bool:
        """True if nothing changed for the reader and these users since `since`. An `IsStillValid`."""
        users = {*user_ids, *([reader_id] if reader_id else [])}
        return await self._none([key(user) for user in users for key in (self.activity, self.changed)], since)

    async def visibility_unchanged(self, reader_id: int | None, user_ids: Sequence[int], since: float) -> bool:
        """True if the reader may see these users as at `since`. An `IsStillValid`."""
        others = set(user_ids) - {reader_id}
        users = {*others, *([reader_id] if reader_id and others else [])}
        return await self._none([self.visibility(user) for user in users], since)

    async def _none(self, keys: Sequence[str], since: float) -> bool:
        try:
            generation, *stamps = await get_many(self._redis, [self.generation_key, *keys])
        except (RedisError, OSError):
            return False
        if generation is None or any(stamps):
            return False
        return float(generation.split(b"-")[0]) + CLOCK_SKEW_S < since

    async def invalidate(self, payloads: Iterable[Payload]) -> None:
        """Write the stamps for these events.

        Raises:
            UnavailableError, OSError, TimeoutError: some stamps may be missing.
        """
        await self.write(Invalidation.merge(map(invalidation_of, payloads)))

    async def try_invalidate(self, payloads: Iterable[Payload]) -> None:
        """Do the same as `invalidate` within 0.1 s. It never raises, because the change is already committed."""
        await self.try_write(Invalidation.merge(map(invalidation_of, payloads)))

    async def try_write(self, invalidation: Invalidation) -> None:
        """Do the same as `write` within 0.1 s. It never raises, because the change is already committed."""
        try:
            async with asyncio.timeout(self._deadline_s):
                await self.write(invalidation)
        except (UnavailableError, OSError, TimeoutError) as error:
            log.warning("stamps_not_written", error=repr(error))

    async def write(self, invalidation: Invalidation) -> None:
        """Write the stamps. Raises UnavailableError."""
        found, changed = invalidation, invalidation.changed
        keys = [
            *map(self.activity, found.active),
            *map(self.changed, changed),
            *map(self.visibility, found.visibility),
            *map(self.profile, found.profiles),
        ]
        keys += [self.any_changed] if changed else []
        keys += [self.any_profile] if found.profiles else []
        keys += [self.any_followees] if found.followees else []
        keys += [self.all_pages] if found.all_pages else []
        if not keys:  # so there is no new post either, because it stamps its author
            return
        stamp = secrets.token_hex(8)

        # First, so that no page with a list from before the post is cached under a stamp from after it.
        await self.forget_recent(found.posted)
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.set(key, stamp, ex=STAMP_S)
            for entity_id in changed:
                pipe.set(self.changed_lately(entity_id), b"", ex=LAST_KNOWN_S)
            await pipe.execute()

    async def forget_recent(self, posted: Collection[tuple[int, int]]) -> None:
        """Delete the lists of newest posts that lack these posts, and end the leases to fill them.

        `posted` has pairs of an author id and a post id. Raises UnavailableError.
        """
        await self.functions.call_many("forget", [(self.recent(author_id), (p,)) for author_id, p in posted])

    async def stamp_pulled(self) -> None:
        """Record that a pulled author posted. Raises UnavailableError."""
        await self._redis.set(self.any_pulled, secrets.token_hex(8), ex=STAMP_S)

    async def stamp_all_pages(self) -> None:
        """Invalidate all cached pages, because posts can be visible without a push. Raises UnavailableError."""
        await self.write(Invalidation(all_pages=True))


def _new_generation() -> str:
    return f"{time.time():.0f}-{secrets.token_hex(8)}"
