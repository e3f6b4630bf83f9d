"""Ports of the counters worker in memory."""

from collections.abc import Iterable, Mapping

from libs.contracts.public import CommentCountKind, CountKind
from workers.counters.domain import CommentPlace, CountUpdate, Membership
from workers.counters.ports import LedgerPage


class InMemoryLedger:
    """Later write times stay, as in the real one."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, str, int], tuple[int, Membership]] = {}
        self.totals_at: dict[tuple[int, str], tuple[int, int]] = {}

    async def read(self, post_id: int, kind: str, members: Iterable[int]) -> LedgerPage:
        found = {m: self.rows[post_id, kind, m][1] for m in members if (post_id, kind, m) in self.rows}
        return LedgerPage(found, self.totals_at.get((post_id, kind), (0, 0))[1])

    async def recount(self, post_id: int, kind: str, members: Iterable[int]) -> LedgerPage:
        every = {m: row for (p, k, m), (_, row) in self.rows.items() if (p, k) == (post_id, kind)}
        return LedgerPage({m: every[m] for m in members if m in every}, sum(row.present for row in every.values()))

    async def write(self, post_id: int, kind: str, update: CountUpdate, at: int) -> None:
        for member, membership in update.members.items():
            key = (post_id, kind, member)
            self.rows[key] = max(self.rows.get(key, (-1, membership)), (at, membership), key=lambda row: row[0])
        key_total = (post_id, kind)
        self.totals_at[key_total] = max(self.totals_at.get(key_total, (-1, 0)), (at, update.total))

    async def write_likes(self, place: CommentPlace, before: int, update: CountUpdate, at: int) -> None:
        await self.write(place.comment_id, CommentCountKind.LIKE, update, at)

    async def totals(self, post_id: int) -> Mapping[CountKind, int]:
        return {kind: self.totals_at.get((post_id, kind), (0, 0))[1] for kind in CountKind}
