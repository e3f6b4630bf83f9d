"""Counts of users against what they count."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.user.domain.people import AccountCounts, AuthoredPost
from services.user.ports import AccountCountStore, AuthoredPostStore


@dataclass(frozen=True, slots=True)
class CountComparison:
    """Counts from the rows and as counted, and which posts are counted."""

    recorded: AccountCounts
    counted: AccountCounts
    post_ids: list[int]


class CountReconciliation:
    """Use cases of reconciliation."""

    def __init__(self, store: AccountCountStore, authored: AuthoredPostStore) -> None:
        self._store = store
        self._authored = authored

    async def user_ids(self, after_id: int, limit: int) -> list[int]:
        """Accounts in order of id."""
        return await self._store.user_ids(after_id, limit)

    async def audit(self, user_id: int) -> CountComparison:
        """As things are just now."""
        recorded, counted = await self._store.tallies(user_id)
        return CountComparison(recorded, counted, await self._store.post_ids(user_id))

    async def mend(self, user_id: int, there: Sequence[int], gone: Sequence[int]) -> None:
        """Learn of posts that are `there` or `gone`, as from their events, and count anew. A deleted post stays so."""
        await self._authored.apply(
            [
                *(AuthoredPost(user_id, post_id, deleted=False) for post_id in there),
                *(AuthoredPost(user_id, post_id, deleted=True) for post_id in gone),
            ]
        )
        await self._store.recount(user_id)
