"""What people were shown of one another, for the time that its owner is away."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from cachetools import TTLCache

from libs.common.core.errors import UnavailableError
from libs.invalidation.stamps import ACT_S

KEPT_S = ACT_S - 30  # marks live from the act on, what is kept from the end of the question on
KEPT_MAX = 20_000  # profiles, some 20 MB
Still = Callable[[int | None, Sequence[int], float], Awaitable[bool]]
"""Whether what lay between a reader and these people at a time (Unix, seconds) still does; False when nobody knows."""
T = TypeVar("T")


class LastShown(Generic[T]):
    """Shows each reader what they were shown of people a while ago, if it still holds, while nobody can be asked."""

    def __init__(self, still: Still, clock: Callable[[], float] = time.time) -> None:
        self._still = still
        self._clock = clock
        self._kept: TTLCache[tuple[int | None, int], tuple[float, T]] = TTLCache(KEPT_MAX, KEPT_S, clock)

    async def get(
        self, reader_id: int | None, user_ids: Sequence[int], ask: Callable[[], Awaitable[dict[int, T]]]
    ) -> dict[int, T]:
        """What `ask` answers. Raises UnavailableError: nobody answers, and not all was shown of late."""
        now, keys = self._clock(), {user_id: (reader_id, user_id) for user_id in user_ids}
        try:
            found = await ask()
        except UnavailableError:
            kept = {user_id: one for user_id, key in keys.items() if (one := self._kept.get(key))}
            since = min((at for at, _ in kept.values()), default=now)
            if len(kept) < len(keys) or not await self._still(reader_id, user_ids, since):
                raise
            return {user_id: value for user_id, (_, value) in kept.items()}
        for user_id, key in keys.items():
            self._kept.pop(key, None)
            if user_id in found:
                self._kept[key] = now, found[user_id]
        return found
