"""The ledger in Cassandra."""

from collections.abc import Iterable, Mapping

from libs.common.stores.cassandra import Bound, CassandraStore
from libs.contracts.public import CommentCountKind, CountKind
from workers.counters.domain import CommentPlace, Folded, Membership
from workers.counters.ports import LedgerPage

EVERY = 1_000  # members in a page of all that there are
_WHERE = "FROM ledger WHERE post_id = ? AND kind = ?"
BEFORE_ALL = -1  # ids are not negative


class CassandraLedger(CassandraStore):
    """Implements `workers.counters.ports.Ledger`. The interaction service's migrations make the table.

    The write time stands in each statement: the driver has none for a batch as a whole."""

    cql = {
        "members": f"SELECT member, present, version, total {_WHERE} AND member IN ?",
        "total": f"SELECT total {_WHERE} LIMIT 1",
        "all_members": f"SELECT member, present, version {_WHERE} AND member > ? LIMIT {EVERY}",
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
        """See the port. Where no row is found, none was there when the total was read before."""
        total = await self._read_total(target_id, kind)
        rows = await self._rows("members", target_id, kind, list(members))
        if rows:
            total = rows[0].total or 0
        return LedgerPage({row.member: Membership(row.present, row.version) for row in rows}, total)

    async def recount(self, post_id: int, kind: CountKind, members: Iterable[int]) -> LedgerPage:
        """Read in pages: what another worker writes meanwhile comes with a total of its own, at a later write time."""
        wanted, found, total, after = set(members), dict[int, Membership](), 0, BEFORE_ALL
        while rows := await self._rows("all_members", post_id, kind, after):
            total += sum(row.present for row in rows)
            found |= {row.member: Membership(row.present, row.version) for row in rows if row.member in wanted}
            after = rows[-1].member
        return LedgerPage(found, total)

    async def write(self, post_id: int, kind: CountKind, folded: Folded, at: int) -> None:
        await self._cassandra.batch(self._folded(post_id, kind, folded, at), logged=False)

    async def write_likes(self, place: CommentPlace, before: int, folded: Folded, at: int) -> None:
        statements = self._folded(place.comment_id, CommentCountKind.LIKE, folded, at)
        if before > 0 and before != folded.total:
            statements.append(self._bound("remove_place", at, place.post_id, place.parent_id, before, place.comment_id))
        if folded.total > 0 and before != folded.total:
            statements.append(
                self._bound("add_place", place.post_id, place.parent_id, folded.total, place.comment_id, at)
            )
        await self._cassandra.batch(statements)

    def _folded(self, target_id: int, kind: CountKind | CommentCountKind, folded: Folded, at: int) -> list[Bound]:
        rows: list[Bound] = [
            self._bound("set_member", target_id, kind, member, m.present, m.version, at)
            for member, m in folded.members.items()
        ]
        return [*rows, self._bound("set_total", at, folded.total, at, target_id, kind)]

    async def totals(self, post_id: int) -> Mapping[CountKind, int]:
        return {kind: await self._read_total(post_id, kind) for kind in CountKind}

    async def _read_total(self, target_id: int, kind: CountKind | CommentCountKind) -> int:
        row = await self._row("total", target_id, kind)
        return (row.total or 0) if row else 0
