"""Use cases of blocks and mutes."""

from contextlib import suppress

from libs.common.core.errors import NotFoundError
from libs.common.core.paging import Page
from libs.contracts.base import utc_now
from libs.contracts.records import EventOutbox
from services.user.domain.people import Edge, Profile
from services.user.errors import CannotBlockSelfError
from services.user.ports import GraphStore, PeopleLists
from services.user.service.audiences import Audiences
from services.user.service.events import Clock
from services.user.service.profiles import Profiles


class BlocksAndMutes:
    """Blocks and mutes. All methods are idempotent.

    The responses do not reveal whether the other user has blocked the caller, is banned, or exists.
    All methods raise CannotBlockSelfError when both ids are the same.
    """

    def __init__(
        self,
        store: GraphStore,
        lists: PeopleLists,
        profiles: Profiles,
        audiences: Audiences,
        events: EventOutbox,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._lists = lists
        self._profiles = profiles
        self._audiences = audiences
        self._events = events
        self._clock = clock

    async def block(self, blocker_id: int, blocked_id: int) -> None:
        """Hide two users from each other, and end follows and requests between them."""
        edge = _edge(blocker_id, blocked_id)
        await self._events.committed(await self._store.block(edge, self._clock()))
        for user_id in (edge.from_id, edge.to_id):
            with suppress(NotFoundError):
                await self._audiences.update_mode(user_id)

    async def unblock(self, blocker_id: int, blocked_id: int) -> None:
        """Remove a block. Follows do not come back."""
        edge = _edge(blocker_id, blocked_id)
        await self._events.committed(await self._store.unblock(edge, self._clock()))

    async def mute(self, muter_id: int, muted_id: int) -> None:
        """Keep a user's posts out of the muter's feed. Nobody else can see it."""
        edge = _edge(muter_id, muted_id)
        await self._events.committed(await self._store.mute(edge, self._clock()))

    async def unmute(self, muter_id: int, muted_id: int) -> None:
        edge = _edge(muter_id, muted_id)
        await self._events.committed(await self._store.unmute(edge, self._clock()))

    async def blocked(self, user_id: int, below: int | None, limit: int) -> Page[Profile]:
        """Return blocked users, last blocked first."""
        return await self._profiles.page(await self._lists.blocked(user_id, below, limit + 1), user_id, limit)

    async def muted(self, user_id: int, below: int | None, limit: int) -> Page[Profile]:
        """Return muted users, last muted first."""
        return await self._profiles.page(await self._lists.muted(user_id, below, limit + 1), user_id, limit)


def _edge(from_id: int, to_id: int) -> Edge:
    if from_id == to_id:
        raise CannotBlockSelfError
    return Edge(from_id, to_id)
