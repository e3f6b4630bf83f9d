"""A cache that answers only while the source is unavailable (stale-if-error)."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from cachetools import TTLCache

from libs.common.core.errors import UnavailableError
from libs.invalidation.stamps import STAMP_S
from libs.telemetry.caches import count_reads

CACHED_S = STAMP_S - 30  # a stamp is written at the change, a value is cached at the end of the call
CACHED_MAX = 20_000  # profiles, about 20 MB
IsStillValid = Callable[[int | None, Sequence[int], float], Awaitable[bool]]
"""True if nothing between a reader and these users changed since a time (Unix, seconds); False when it is unknown."""
T = TypeVar("T")


class StaleIfErrorCache(Generic[T]):
    """Caches what each reader saw of other users, and returns it while the service that owns it does not answer."""

    def __init__(self, is_still_valid: IsStillValid, clock: Callable[[], float] = time.time) -> None:
        self._is_still_valid = is_still_valid
        self._clock = clock
        self._cached: TTLCache[tuple[int | None, int], tuple[float, T]] = TTLCache(CACHED_MAX, CACHED_S, clock)

    async def get(
        self, reader_id: int | None, user_ids: Sequence[int], ask: Callable[[], Awaitable[dict[int, T]]]
    ) -> dict[int, T]:
        """The answer of `ask`, or the cached values by user id.

        Raises:
            UnavailableError: `ask` raised it, and a value is not cached or not valid any more.
        """
        now, keys = self._clock(), {user_id: (reader_id, user_id) for user_id in user_ids}
        try:
            found = await ask()
        except UnavailableError:
            cached = {user_id: entry for user_id, key in keys.items() if (entry := self._cached.get(key))}
            since = min((at for at, _ in cached.values()), default=now)
            is_valid = len(cached) == len(keys) and await self._is_still_valid(reader_id, user_ids, since)
            hits = len(keys) if is_valid else 0
            count_reads("stale_if_error", hits=hits, misses=len(keys) - hits)
            if not is_valid:
                raise
            return {user_id: value for user_id, (_, value) in cached.items()}
        for user_id, key in keys.items():
            self._cached.pop(key, None)
            if user_id in found:
                self._cached[key] = now, found[user_id]
        return found
