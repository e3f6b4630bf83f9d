"""Marks of readers, cached in memory while the readers' activity stamps stay the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import TTLCache

from libs.common.core.errors import UnavailableError
from libs.common.core.ids import MAX_ID, first_id_at, now_ms
from libs.invalidation import InvalidationStamps
from libs.telemetry.caches import count_reads
from services.interaction.domain import POST_MARKS, MarkKind
from services.interaction.ports import MarkStore

CACHED_S = 10  # a reader pages faster than that; limits the effect of a stamp that Redis lost
MARKS_MAX = 1_000_000  # of all users together, about 100 MB
MARKS_A_USER = 500  # reading more costs more than looking up the posts of a page
RECENT_MS = 7 * 86_400_000  # the window of a feed (docs/figures.md)


@dataclass(frozen=True, slots=True)
class _Marks:
    """All active marks of a user on posts from the id `floor` on."""

    stamp: bytes
    floor: int
    active: frozenset[tuple[MarkKind, int]]


class CachedMarks:
    """Implements `ports.ActiveMarks`. The marks on recent posts are read together, once for many pages."""

    def __init__(self, store: MarkStore, stamps: InvalidationStamps) -> None:
        self._store = store
        self._stamps = stamps
        self._known: TTLCache[int, _Marks] = TTLCache(
            MARKS_MAX, CACHED_S, getsizeof=lambda marks: 1 + len(marks.active)
        )

    async def active(self, user_id: int, post_ids: Sequence[int]) -> set[tuple[MarkKind, int]]:
        try:
            # Before the marks, so that marks from before a change never get the stamp of the change.
            (stamp,) = await self._stamps.read([self._stamps.activity(user_id)])
        except UnavailableError:
            return await self._store.active(user_id, POST_MARKS, post_ids)
        marks = self._known.get(user_id)
        is_hit = marks is not None and marks.stamp == stamp
        count_reads("marks", hits=int(is_hit), misses=int(not is_hit))
        if marks is None or marks.stamp != stamp:
            marks = self._known[user_id] = await self._read(user_id, stamp)
        older = [post_id for post_id in post_ids if post_id < marks.floor]
        found = {(kind, post_id) for kind in POST_MARKS for post_id in post_ids} & marks.active
        return found | await self._store.active(user_id, POST_MARKS, older) if older else found

    def forget(self, user_id: int) -> None:
        self._known.pop(user_id, None)

    async def _read(self, user_id: int, stamp: bytes) -> _Marks:
        """Read the recent marks. For a user with many of them, all posts count as older."""
        floor = first_id_at(now_ms() - RECENT_MS)
        found = await self._store.since(user_id, POST_MARKS, floor, MARKS_A_USER + 1)
        if len(found) > MARKS_A_USER:
            return _Marks(stamp, MAX_ID, frozenset())
        return _Marks(stamp, floor, frozenset((kind, post_id) for kind, post_id, is_active in found if is_active))
