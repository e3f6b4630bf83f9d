"""Following and unfollowing, and what fan-out asks of the graph."""

from collections.abc import Awaitable, Callable

from libs.common.contracts.base import utc_now
from libs.common.contracts.events import FollowCreated, FollowDeleted
from libs.common.runtime.errors import NotFoundError
from services.user.domain.people import PULL_LINGERS, Audience, Edge, Followees, Page, Profile, next_mode
from services.user.errors import CannotFollowSelfError
from services.user.ports import EventPublisher, GraphStore
from services.user.service.events import Clock, edge_record
from services.user.service.profiles import Profiles

_MODE_ROUNDS = 4  # each ends by agreeing or by losing a race; the winner's own round then sees what this one saw
_FetchIds = Callable[[int, int | None, int], Awaitable[list[int]]]


class Graph:
    """Use cases of the follow graph."""

    def __init__(
        self,
        store: GraphStore,
        profiles: Profiles,
        events: EventPublisher,
        push_threshold: int,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._profiles = profiles
        self._events = events
        self._threshold = push_threshold
        self._clock = clock

    async def follow(self, follower_id: int, followee_id: int | None) -> None:
        """Idempotent.

        Raises:
            NotFoundError: there is no such account.
            CannotFollowSelfError: it is one's own.
        """
        edge = await self._edge(follower_id, followee_id, followee_id)
        await self._events.committed(await self._store.add(edge, self._clock(), edge_record(FollowCreated, edge)))
        await self._settle_mode(edge.followee_id)

    async def unfollow(self, follower_id: int, followee_id: int | None) -> None:
        """Idempotent. Raises NotFoundError: there is no such account."""
        await self._remove(await self._edge(follower_id, followee_id, followee_id))

    async def remove_follower(self, owner_id: int, follower_id: int | None) -> None:
        """Make another unfollow oneself; idempotent. Raises NotFoundError: there is no such account."""
        await self._remove(await self._edge(follower_id, owner_id, follower_id))

    async def followers(
        self, user_id: int | None, reader_id: int | None, below_id: int | None, limit: int
    ) -> Page[Profile, int]:
        """Who follows the user."""
        return await self._page(self._store.followers, user_id, reader_id, below_id, limit)

    async def following(
        self, user_id: int | None, reader_id: int | None, below_id: int | None, limit: int
    ) -> Page[Profile, int]:
        """Whom the user follows."""
        return await self._page(self._store.following, user_id, reader_id, below_id, limit)

    async def mutuals(
        self, user_id: int | None, reader_id: int, below_id: int | None, limit: int
    ) -> Page[Profile, int]:
        """The user's followers whom the reader follows."""

        async def fetch(of: int, below: int | None, count: int) -> list[int]:
            return await self._store.mutuals(of, reader_id, below, count)

        return await self._page(fetch, user_id, reader_id, below_id, limit)

    async def audience(self, user_id: int) -> Audience:
        """Follower count and mode. Raises NotFoundError: there is no such account."""
        audience = await self._store.audience(user_id)
        if audience is None:
            raise NotFoundError
        return audience

    async def follower_ranges(self, user_id: int, size: int) -> list[tuple[int, int]]:
        """Ranges of at most `size` followers, together all."""
        return await self._store.follower_ranges(user_id, size)

    async def follower_ids(self, user_id: int, after: int, up_to: int, limit: int) -> list[int]:
        """One page of a range."""
        return await self._store.follower_ids(user_id, after, up_to, limit)

    async def followees(self, user_id: int) -> Followees:
        """Whom the user follows, and of whom a reader must pull."""
        return await self._store.followees(user_id, self._clock() - PULL_LINGERS)

    async def _edge(self, follower_id: int | None, followee_id: int | None, other_id: int | None) -> Edge:
        if follower_id is None or followee_id is None or other_id is None:
            raise NotFoundError
        if follower_id == followee_id:
            raise CannotFollowSelfError
        await self.audience(other_id)
        return Edge(follower_id, followee_id)

    async def _remove(self, edge: Edge) -> None:
        await self._events.committed(await self._store.remove(edge, self._clock(), edge_record(FollowDeleted, edge)))
        await self._settle_mode(edge.followee_id)

    async def _settle_mode(self, user_id: int) -> None:
        """Runs after the commit, also when nothing changed, so that a repeat mends what a crash left."""
        for _ in range(_MODE_ROUNDS):
            audience = await self.audience(user_id)
            mode = next_mode(audience.mode, audience.follower_count, self._threshold)
            if mode == audience.mode:
                return
            await self._store.set_mode(user_id, audience.mode_version, mode, self._clock())

    async def _page(
        self, fetch: _FetchIds, user_id: int | None, reader_id: int | None, below_id: int | None, limit: int
    ) -> Page[Profile, int]:
        if user_id is None:
            raise NotFoundError
        await self.audience(user_id)
        ids = await fetch(user_id, below_id, limit + 1)
        return Page(await self._profiles.many(ids[:limit], reader_id), ids[limit - 1] if len(ids) > limit else None)
