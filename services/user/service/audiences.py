"""Use cases of fan-out and feeds: audiences and followees."""

from collections.abc import Awaitable, Callable, Sequence

from libs.common.core.errors import NotFoundError
from libs.contracts.base import utc_now
from services.user.domain.people import AuthorAudience, FollowedAuthors, ReaderRelation, next_mode
from services.user.ports import AudienceStore
from services.user.service.events import Clock

_MODE_ATTEMPTS = 4  # an attempt fails only when another call set the mode, and that call checks it again


class Audiences:
    """Graph queries of other deployables, and the mode of authors."""

    def __init__(
        self,
        store: AudienceStore,
        push_threshold: int,
        mode_changed: Callable[[], Awaitable[None]],
        clock: Clock = utc_now,
    ) -> None:
        """`mode_changed` is called after each change of a mode; it must not raise."""
        self._store = store
        self._threshold = push_threshold
        self._mode_changed = mode_changed
        self._clock = clock

    async def audiences(self, user_ids: Sequence[int], followers_up_to: int) -> dict[int, AuthorAudience]:
        return await self._store.audiences(user_ids, followers_up_to)

    async def update_mode(self, user_id: int) -> None:
        """Set the mode that fits the follower count.

        Runs after every commit, even when nothing changed, so that a retry repairs what a crash left behind.

        Raises:
            NotFoundError: the account does not exist.
        """
        for _ in range(_MODE_ATTEMPTS):
            audience = (await self._store.audiences([user_id], 0)).get(user_id)
            if audience is None:
                raise NotFoundError
            mode = next_mode(audience.mode, audience.follower_count, self._threshold)
            if mode == audience.mode:
                return
            if await self._store.set_mode(user_id, audience.mode_version, mode, self._clock()):
                await self._mode_changed()

    async def follower_ranges(self, user_id: int, size: int) -> list[tuple[int, int]]:
        """Return ranges of at most `size` followers, which together hold all."""
        return await self._store.follower_ranges(user_id, size)

    async def follower_ids(self, user_id: int, after: int, up_to: int, limit: int) -> list[int]:
        return await self._store.follower_ids(user_id, after, up_to, limit)

    async def followees(self, user_id: int) -> FollowedAuthors:
        return await self._store.followees(user_id, self._clock())

    async def relation(self, reader_id: int, author_id: int) -> ReaderRelation | None:
        return await self._store.relation(reader_id, author_id)
