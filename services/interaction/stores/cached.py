"""Marks of readers, cached in memory while the readers' activity stamps stay the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import TTLCache

from libs.common.core.errors import UnavailableError
from libs.common.core.ids import first_id_at, now_ms
from libs.contracts.records import EventRecord
from libs.invalidation import InvalidationStamps
from services.interaction.domain import Mark, MarkKind
from services.interaction.ports import MarkStore

CACHED_S = 60  # limits the effect of a stamp that Redis lost
MARKS_MAX = 1_000_000  # of all users together, about 100 MB
MARKS_A_USER = 500  # reading more costs more than looking up the posts of a page
RECENT_MS = 7 * 86_400_000  # the window of a feed (docs/figures.md)


@dataclass(frozen=True, slots=True)
class _Marks:
    """All active marks of a user on targets from the id `floor` on."""

    stamp: bytes
    floor: int
    active: frozenset[tuple[MarkKind, int]]


class CachedMarks:
    """Implements `ports.MarkStore`. The active marks on recent posts are read together, once for many pages."""

    def __init__(self, store: MarkStore, stamps: InvalidationStamps) -> None:
        self._store = store
        self._stamps = stamps
        self._known: TTLCache[tuple[int, tuple[MarkKind, ...]], _Marks] = TTLCache(
            MARKS_MAX, CACHED_S, getsizeof=lambda marks: 1 + len(marks.active)
        )

    async def get(self, user_id: int, kind: MarkKind, target_id: int) -> Mark | None:
        return await self._store.get(user_id, kind, target_id)

    async def put(self, mark: Mark, events: Sequence[EventRecord]) -> None:
        await self._store.put(mark, events)

    async def list(self, owner_id: int, kind: MarkKind, before_id: int, limit: int) -> Sequence[tuple[int, int]]:
        return await self._store.list(owner_id, kind, before_id, limit)

    async def since(
        self, user_id: int, kinds: Sequence[MarkKind], first_id: int, limit: int
    ) -> Sequence[tuple[MarkKind, int, bool]]:
        return await self._store.since(user_id, kinds, first_id, limit)

    async def active(
        self, user_id: int, kinds: Sequence[MarkKind], target_ids: Sequence[int]
    ) -> set[tuple[MarkKind, int]]:
        marks = await self._recent(user_id, tuple(kinds))
        if marks is None:
            return await self._store.active(user_id, kinds, target_ids)
        older = [target_id for target_id in target_ids if target_id < marks.floor]
        found = {(kind, t) for kind in kinds for t in target_ids if (kind, t) in marks.active}
        return found | await self._store.active(user_id, kinds, older) if older else found

    async def _recent(self, user_id: int, kinds: tuple[MarkKind, ...]) -> _Marks | None:
        """Return None for users with many marks, and while Redis is unavailable."""
        try:
            # Before the marks, so that marks from before a change never get the stamp of the change.
            (stamp,) = await self._stamps.read([self._stamps.activity(user_id)])
        except UnavailableError:
            return None
        known = self._known.get((user_id, kinds))
        if known and known.stamp == stamp:
            return known
        floor = first_id_at(now_ms() - RECENT_MS)
        found = await self._store.since(user_id, kinds, floor, MARKS_A_USER + 1)
        if len(found) > MARKS_A_USER:
            return None
        active = frozenset((kind, target_id) for kind, target_id, is_active in found if is_active)
        marks = self._known[user_id, kinds] = _Marks(stamp, floor, active)
        return marks
