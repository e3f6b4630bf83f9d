"""The ledger in Cassandra."""

from collections.abc import Iterable, Mapping
from typing import Self

from cassandra.query import PreparedStatement

from libs.common.stores.cassandra import Bound, Cassandra
from libs.contracts.public import CommentCountKind, CountKind
from workers.counters.domain import CommentPlace, Folded, Membership
from workers.counters.ports import Page

EVERY = 1_000  # members in a page of all that there are
BEFORE_ALL = -1  # ids are not negative


class CassandraLedger:
    """Implements `workers.counters.ports.Ledger`. The interaction service's migrations make the table.

    The write time stands in each statement: the driver has none for a batch as a whole."""

    def __init__(
        self,
        cassandra: Cassandra,
        members: PreparedStatement,
        total: PreparedStatement,
        every: PreparedStatement,
        member: PreparedStatement,
        set_total: PreparedStatement,
        leave: PreparedStatement,
        enter: PreparedStatement,
    ) -> None:
        self._cassandra = cassandra
        self._members, self._total, self._every = members, total, every
        self._member, self._set_total = member, set_total
        self._leave, self._enter = leave, enter

    @classmethod
    async def open(cls, cassandra: Cassandra) -> Self:
        """Prepare the statements."""
        where = "FROM ledger WHERE post_id = ? AND kind = ?"
        return cls(
            cassandra,
            await cassandra.prepare(f"SELECT member, present, version, total {where} AND member IN ?"),
            await cassandra.prepare(f"SELECT total {where} LIMIT 1"),
            await cassandra.prepare(f"SELECT member, present, version {where} AND member > ? LIMIT {EVERY}"),
            await cassandra.prepare(
                "INSERT INTO ledger (post_id, kind, member, present, version) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?"
            ),
            await cassandra.prepare(
                "UPDATE ledger USING TIMESTAMP ? SET total = ?, sequence = ? WHERE post_id = ? AND kind = ?"
            ),
            await cassandra.prepare(
                "DELETE FROM comments_by_likes USING TIMESTAMP ?"
                " WHERE post_id = ? AND parent_id = ? AND like_count = ? AND comment_id = ?"
            ),
            await cassandra.prepare(
                "INSERT INTO comments_by_likes (post_id, parent_id, like_count, comment_id) VALUES (?, ?, ?, ?)"
                " USING TIMESTAMP ?"
            ),
        )

    async def read(self, target_id: int, kind: CountKind | CommentCountKind, members: Iterable[int]) -> Page:
        """See the port. Where no row is found, none was there when the total was read before."""
        total = await self._read_total(target_id, kind)
        rows = await self._cassandra.execute(self._members, (target_id, kind, list(members)))
        if rows:
            total = rows[0].total or 0
        return Page({row.member: Membership(row.present, row.version) for row in rows}, total)

    async def recount(self, post_id: int, kind: CountKind, members: Iterable[int]) -> Page:
        """Read in pages: what another worker writes meanwhile comes with a total of its own, at a later write time."""
        wanted, found, total, after = set(members), dict[int, Membership](), 0, BEFORE_ALL
        while rows := await self._cassandra.execute(self._every, (post_id, kind, after)):
            total += sum(row.present for row in rows)
            found |= {row.member: Membership(row.present, row.version) for row in rows if row.member in wanted}
            after = rows[-1].member
        return Page(found, total)

    async def write(self, post_id: int, kind: CountKind, folded: Folded, at: int) -> None:
        await self._cassandra.batch(self._folded(post_id, kind, folded, at), logged=False)

    async def write_likes(self, place: CommentPlace, before: int, folded: Folded, at: int) -> None:
        statements = self._folded(place.comment_id, CommentCountKind.LIKE, folded, at)
        if before > 0 and before != folded.total:
            statements.append((self._leave, (at, place.post_id, place.parent_id, before, place.comment_id)))
        if folded.total > 0 and before != folded.total:
            statements.append((self._enter, (place.post_id, place.parent_id, folded.total, place.comment_id, at)))
        await self._cassandra.batch(statements)

    def _folded(self, target_id: int, kind: CountKind | CommentCountKind, folded: Folded, at: int) -> list[Bound]:
        rows: list[Bound] = [
            (self._member, (target_id, kind, member, m.present, m.version, at)) for member, m in folded.members.items()
        ]
        return [*rows, (self._set_total, (at, folded.total, at, target_id, kind))]

    async def totals(self, post_id: int) -> Mapping[CountKind, int]:
        return {kind: await self._read_total(post_id, kind) for kind in CountKind}

    async def _read_total(self, target_id: int, kind: CountKind | CommentCountKind) -> int:
        row = await self._cassandra.one(self._total, (target_id, kind))
        return (row.total or 0) if row else 0
