"""How posts travel: what fan-out and feeds ask of the graph."""

from collections.abc import Sequence

from libs.common.core.errors import NotFoundError
from libs.contracts.base import utc_now
from services.user.domain.people import Audience, Followees, Relation, next_mode
from services.user.ports import AudienceStore
from services.user.service.events import Clock

_MODE_ROUNDS = 4  # each ends by agreeing or by losing a race; the winner's own round then sees what this one saw


class Audiences:
    """Use cases of other deployables, and the mode of authors."""

    def __init__(self, store: AudienceStore, push_threshold: int, clock: Clock = utc_now) -> None:
        self._store = store
        self._threshold = push_threshold
        self._clock = clock

    async def audiences(self, user_ids: Sequence[int], followers_up_to: int) -> dict[int, Audience]:
        """Follower count and mode of the accounts that there are; the followers of small push authors."""
        return await self._store.audiences(user_ids, followers_up_to)

    async def settle_mode(self, user_id: int) -> None:
        """Runs after the commit, also when nothing changed, so that a repeat mends what a crash left."""
        for _ in range(_MODE_ROUNDS):
            audience = (await self._store.audiences([user_id], 0)).get(user_id)
            if audience is None:
                raise NotFoundError
            mode = next_mode(audience.mode, audience.follower_count, self._threshold)
            if mode == audience.mode:
                return
            await self._store.set_mode(user_id, audience.mode_version, mode, self._clock())

    async def follower_ranges(self, user_id: int, size: int) -> list[tuple[int, int]]:
        """Ranges of at most `size` followers, together all."""
        return await self._store.follower_ranges(user_id, size)

    async def follower_ids(self, user_id: int, after: int, up_to: int, limit: int) -> list[int]:
        """One page of a range."""
        return await self._store.follower_ids(user_id, after, up_to, limit)

    async def followees(self, user_id: int) -> Followees:
        """Whose posts the user's feed is made of, and whose of them are to be pulled."""
        return await self._store.followees(user_id, self._clock())

    async def relation(self, reader_id: int, author_id: int) -> Relation | None:
        """What explains a feed; None: there is no such author."""
        return await self._store.relation(reader_id, author_id)
