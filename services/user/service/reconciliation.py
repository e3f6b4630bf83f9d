"""Compares the counts of users with what they count, and corrects them."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.user.domain.people import AccountCounts, AuthoredPost
from services.user.ports import AccountCountStore, AuthoredPostStore


@dataclass(frozen=True, slots=True)
class CountComparison:
    """The counts from the rows, the stored counts, and the ids of the counted posts."""

    recorded: AccountCounts
    counted: AccountCounts
    post_ids: list[int]


class CountReconciliation:
    """Use cases of reconciliation."""

    def __init__(self, store: AccountCountStore, authored: AuthoredPostStore) -> None:
        self._store = store
        self._authored = authored

    async def user_ids(self, after_id: int, limit: int) -> list[int]:
        """Return account ids above `after_id`, ascending."""
        return await self._store.user_ids(after_id, limit)

    async def compare(self, user_id: int) -> CountComparison:
        recorded, counted = await self._store.compare(user_id)
        return CountComparison(recorded, counted, await self._store.post_ids(user_id))

    async def reconcile(self, user_id: int, there: Sequence[int], gone: Sequence[int]) -> None:
        """Record existing and deleted posts as their events would, and correct the counts.

        A post that is recorded as deleted stays deleted.
        """
        await self._authored.apply(
            [
                *(AuthoredPost(user_id, post_id, deleted=False) for post_id in there),
                *(AuthoredPost(user_id, post_id, deleted=True) for post_id in gone),
            ]
        )
        await self._store.recount(user_id)
