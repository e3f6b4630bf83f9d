"""The membership ledger in Cassandra."""

from collections.abc import Iterable, Mapping

from libs.common.stores.cassandra import Bound, CassandraStore
from libs.contracts.public import CommentCountKind, CountKind
from workers.counters.domain import CommentPlace, CountUpdate, Membership
from workers.counters.ports import LedgerPage

PAGE = 1_000  # members per page when all are read
_WHERE = "FROM ledger WHERE post_id = ? AND kind = ?"
BEFORE_ALL = -1  # ids are not negative


class CassandraMembershipLedger(CassandraStore):
    """Implements `workers.counters.ports.MembershipLedger`. Migrations of the interaction service create the tables.

    Each statement has a write time, because the driver cannot set it for a batch.
    """

    cql = {
        "members": f"SELECT member, present, version, total {_WHERE} AND member IN ?",
        "total": f"SELECT total {_WHERE} LIMIT 1",
        "all_members": f"SELECT member, present, version {_WHERE} AND member > ? LIMIT {PAGE}",
        "set_member": (
            "INSERT INTO ledger (post_id, kind, member, present, version) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?"
        ),
        "set_total": "UPDATE ledger USING TIMESTAMP ? SET total = ?, sequence = ? WHERE post_id = ? AND kind = ?",
        "remove_place": (
            "DELETE FROM comments_by_likes USING TIMESTAMP ?"
            " WHERE post_id = ? AND parent_id = ? AND like_count = ? AND comment_id = ?"
        ),
        "add_place": (
            "INSERT INTO comments_by_likes (post_id, parent_id, like_count, comment_id) VALUES (?, ?, ?, ?)"
            " USING TIMESTAMP ?"
        ),
    }

    async def read(self, target_id: int, kind: CountKind | CommentCountKind, members: Iterable[int]) -> LedgerPage:
        # The total first: if there are no member rows then, the total was read before any of them was written.
        total = await self._read_total(target_id, kind)
        rows = await self._rows("members", target_id, kind, list(members))
        if rows:
            total = rows[0].total or 0
        return LedgerPage({row.member: Membership(row.present, row.version) for row in rows}, total)

    async def recount(self, post_id: int, kind: CountKind, members: Iterable[int]) -> LedgerPage:
        # Another worker may write between two pages, but then it also writes a total, at a later write time.
        wanted, found, total, after = set(members), dict[int, Membership](), 0, BEFORE_ALL
        while rows := await self._rows("all_members", post_id, kind, after):
            total += sum(row.present for row in rows)
            found |= {row.member: Membership(row.present, row.version) for row in rows if row.member in wanted}
            after = rows[-1].member
        return LedgerPage(found, total)

    async def write(self, post_id: int, kind: CountKind, update: CountUpdate, at: int) -> None:
        await self._cassandra.batch(self._update_rows(post_id, kind, update, at), logged=False)

    async def write_likes(self, place: CommentPlace, before: int, update: CountUpdate, at: int) -> None:
        statements = self._update_rows(place.comment_id, CommentCountKind.LIKE, update, at)
        if before > 0 and before != update.total:
            statements.append(self._bound("remove_place", at, place.post_id, place.parent_id, before, place.comment_id))
        if update.total > 0 and before != update.total:
            statements.append(
                self._bound("add_place", place.post_id, place.parent_id, update.total, place.comment_id, at)
            )
        await self._cassandra.batch(statements)

    def _update_rows(
        self, target_id: int, kind: CountKind | CommentCountKind, update: CountUpdate, at: int
    ) -> list[Bound]:
        rows: list[Bound] = [
            self._bound("set_member", target_id, kind, member, m.present, m.version, at)
            for member, m in update.members.items()
        ]
        return [*rows, self._bound("set_total", at, update.total, at, target_id, kind)]

    async def totals(self, post_id: int) -> Mapping[CountKind, int]:
        return {kind: await self._read_total(post_id, kind) for kind in CountKind}

    async def _read_total(self, target_id: int, kind: CountKind | CommentCountKind) -> int:
        row = await self._row("total", target_id, kind)
        return (row.total or 0) if row else 0
