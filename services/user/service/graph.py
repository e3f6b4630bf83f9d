"""Use cases of the follow graph."""

from libs.common.core.errors import NotFoundError
from libs.common.core.paging import Page
from libs.contracts.base import utc_now
from libs.contracts.records import EventOutbox, EventRecord
from services.user.domain.people import Edge, Profile
from services.user.errors import CannotFollowSelfError
from services.user.ports import GraphStore, PeopleLists
from services.user.service.audiences import Audiences
from services.user.service.events import Clock
from services.user.service.profiles import Profiles

REQUESTS_PER_TRANSACTION = 200  # takes about 100 ms


class FollowGraph:
    """Follows, follow requests and lists of followers. All changes are idempotent."""

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

    async def follow(self, follower_id: int, followee_id: int) -> Profile:
        """Follow, or send a follow request to a private account. Return the account with its new relationship.

        Raises:
            NotFoundError: the account does not exist, is banned, or blocks the follower.
            BlockedByYouError: the follower blocks the account.
            CannotFollowSelfError: both ids are the same.
        """
        if follower_id == followee_id:
            raise CannotFollowSelfError
        edge = Edge(follower_id, followee_id)
        await self._events.committed(await self._store.add(edge, self._clock()))
        await self._audiences.update_mode(followee_id)
        return await self._profiles.get(followee_id, follower_id)

    async def unfollow(self, follower_id: int, followee_id: int) -> None:
        """Unfollow, or withdraw the request. Raises NotFoundError when the account does not exist."""
        followee = await self._profiles.get(followee_id, follower_id)
        await self._remove(Edge(follower_id, followee.user_id))

    async def remove_follower(self, owner_id: int, follower_id: int) -> None:
        """Make another user unfollow the owner. Raises NotFoundError when the account does not exist."""
        follower = await self._profiles.get(follower_id, owner_id)
        await self._remove(Edge(follower.user_id, owner_id))

    async def approve(self, owner_id: int, requester_id: int) -> None:
        """Turn a request into a follow. Raises NotFoundError when no such request is pending."""
        edge = await self._request(owner_id, requester_id)
        await self._publish_answer(await self._store.accept(edge, self._clock()))
        await self._audiences.update_mode(owner_id)

    async def deny(self, owner_id: int, requester_id: int) -> None:
        """Delete a request. Raises NotFoundError when no such request is pending."""
        edge = await self._request(owner_id, requester_id)
        await self._publish_answer(await self._store.deny(edge, self._clock()))

    async def accept_pending(self, owner_id: int) -> None:
        """Turn all pending requests to a public account into follows. Do nothing for a private account."""
        while records := await self._store.accept_some(owner_id, REQUESTS_PER_TRANSACTION, self._clock()):
            await self._events.committed(records)
        await self._audiences.update_mode(owner_id)

    async def requests(self, owner_id: int, below: int | None, limit: int) -> Page[Profile]:
        """Return users with a pending request, newest first."""
        return await self._profiles.page(await self._lists.requesters(owner_id, below, limit + 1), owner_id, limit)

    async def followers(self, user_id: int, reader_id: int | None, below_id: int | None, limit: int) -> Page[Profile]:
        """Return followers. Raises NotFoundError when the reader may not see the account or its lists."""
        owner_id = await self._readable_id(user_id, reader_id)
        return await self._page(await self._lists.followers(owner_id, reader_id, below_id, limit + 1), reader_id, limit)

    async def following(self, user_id: int, reader_id: int | None, below_id: int | None, limit: int) -> Page[Profile]:
        """Return followees. Raises NotFoundError when the reader may not see the account or its lists."""
        owner_id = await self._readable_id(user_id, reader_id)
        return await self._page(await self._lists.following(owner_id, reader_id, below_id, limit + 1), reader_id, limit)

    async def mutuals(self, user_id: int, reader_id: int, below_id: int | None, limit: int) -> Page[Profile]:
        """Return followers that the reader follows. Raises NotFoundError as `followers` does."""
        owner_id = await self._readable_id(user_id, reader_id)
        return await self._page(await self._lists.mutuals(owner_id, reader_id, below_id, limit + 1), reader_id, limit)

    async def _remove(self, edge: Edge) -> None:
        await self._events.committed(await self._store.remove(edge, self._clock()))
        await self._audiences.update_mode(edge.to_id)

    async def _request(self, owner_id: int, requester_id: int) -> Edge:
        requester = await self._profiles.get(requester_id, owner_id)
        return Edge(requester.user_id, owner_id)

    async def _publish_answer(self, records: list[EventRecord]) -> None:
        if not records:
            raise NotFoundError
        await self._events.committed(records)

    async def _readable_id(self, user_id: int, reader_id: int | None) -> int:
        profile = await self._profiles.get(user_id, reader_id)
        if not profile.is_open_to(reader_id):
            raise NotFoundError
        return profile.user_id

    async def _page(self, ids: list[int], reader_id: int | None, limit: int) -> Page[Profile]:
        return await self._profiles.page([(user_id, user_id) for user_id in ids], reader_id, limit)
