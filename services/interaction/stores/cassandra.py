"""Marks, comments and the ledger in Cassandra."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import TypeVar

from libs.common.stores.cassandra import Bound, CassandraStore, Row
from libs.common.stores.cassandra_outbox import EventWritingStore
from libs.contracts.base import utc_now
from libs.contracts.public import CountKind, Counts
from libs.contracts.records import EventRecord
from services.interaction.domain import (
    CREATED,
    DELETED,
    NO_PARENT,
    CountWithMember,
    LedgerCount,
    Mark,
    MarkKind,
    MemberState,
    StoredComment,
)

SAVERS = "saver"  # the list of users who saved a post: never shown, only read by reconciliation
PARTITIONS_PER_READ = 40  # partitions per request: requests cost the driver more than partitions
POSTS_PER_READ = PARTITIONS_PER_READ // 4  # a post has four kinds of counts
PAGE = 1_000  # members of one count per read
T = TypeVar("T")
CONCURRENT_READS = 50  # of a reconciliation, so that it does not crowd out readers


async def _each(read: Callable[[int], Awaitable[T]], keys: Sequence[int]) -> list[T]:
    """Read all keys, CONCURRENT_READS at once. Return the results in order."""
    found: list[T] = []
    for start in range(0, len(keys), CONCURRENT_READS):
        found += await asyncio.gather(*(read(key) for key in keys[start : start + CONCURRENT_READS]))
    return found


class CassandraMarks(EventWritingStore):
    """Implements `services.interaction.ports.MarkStore`. Rows are written at the time of their version."""

    cql = {
        "get": "SELECT * FROM marks WHERE user_id = ? AND kind = ? AND post_id = ?",
        "put": (
            "INSERT INTO marks (user_id, kind, post_id, mark_id, version, active) VALUES (?, ?, ?, ?, ?, ?)"
            " USING TIMESTAMP ?"
        ),
        "enlist": "INSERT INTO mark_lists (owner_id, kind, mark_id, member_id) VALUES (?, ?, ?, ?)",
        "delist": "DELETE FROM mark_lists WHERE owner_id = ? AND kind = ? AND mark_id = ?",
        "list": "SELECT mark_id, member_id FROM mark_lists WHERE owner_id = ? AND kind = ? AND mark_id < ? LIMIT ?",
        "active": "SELECT kind, post_id, active FROM marks WHERE user_id = ? AND kind IN ? AND post_id IN ?",
        "since": "SELECT kind, post_id, active FROM marks WHERE user_id = ? AND kind IN ? AND post_id >= ? LIMIT ?",
    }

    async def get(self, user_id: int, kind: MarkKind, target_id: int) -> Mark | None:
        rows = await self._rows("get", user_id, kind, target_id)
        return next((Mark(user_id, kind, target_id, r.mark_id, r.version, r.active) for r in rows), None)

    async def put(self, mark: Mark, events: Sequence[EventRecord]) -> None:
        values = (mark.user_id, mark.kind, mark.target_id, mark.mark_id, mark.version, mark.active, mark.version)
        owner_id, member_id = mark.list_entry
        places = [(owner_id, str(mark.kind), member_id)]
        if not mark.kind.lists_members:
            places.append((mark.target_id, SAVERS, mark.user_id))
        listed: list[Bound] = [
            self._bound("enlist", owner, name, mark.mark_id, member)
            if mark.active
            else self._bound("delist", owner, name, mark.mark_id)
            for owner, name, member in places
        ]
        await self._write([self._bound("put", *values), *listed], events)

    async def list(self, owner_id: int, kind: MarkKind, before_id: int, limit: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        while len(found) < limit:
            rows = await self._rows("list", owner_id, kind, before_id, limit)
            current = await asyncio.gather(*(self._is_current(owner_id, kind, row) for row in rows))
            found += [(row.mark_id, row.member_id) for row, ok in zip(rows, current, strict=True) if ok]
            if len(rows) < limit:
                break
            before_id = rows[-1].mark_id
        return found[:limit]

    async def _is_current(self, owner_id: int, kind: MarkKind, row: Row) -> bool:
        """Return whether the row has a mark. Concurrent requests of one user may leave a row without one."""
        user_id, target_id = (row.member_id, owner_id) if kind.lists_members else (owner_id, row.member_id)
        mark = await self.get(user_id, kind, target_id)
        return mark is not None and mark.active and mark.mark_id == row.mark_id

    async def active(
        self, user_id: int, kinds: Sequence[MarkKind], target_ids: Sequence[int]
    ) -> set[tuple[MarkKind, int]]:
        rows = await self._rows("active", user_id, list(kinds), list(target_ids))
        return {(MarkKind(row.kind), row.post_id) for row in rows if row.active}

    async def since(
        self, user_id: int, kinds: Sequence[MarkKind], first_id: int, limit: int
    ) -> Sequence[tuple[MarkKind, int, bool]]:
        rows = await self._rows("since", user_id, list(kinds), first_id, limit)
        return [(MarkKind(row.kind), row.post_id, row.active) for row in rows]


class CassandraComments(EventWritingStore):
    """Implements `services.interaction.ports.CommentStore`.

    A comment is written at the time of its version, before any delete. Added again, a deleted comment stays deleted.
    """

    cql = {
        "get": "SELECT * FROM comments_by_id WHERE comment_id = ?",
        "add": (
            "INSERT INTO comments_by_id (comment_id, post_id, parent_id, author_id, text) VALUES (?, ?, ?, ?, ?)"
            " USING TIMESTAMP ?"
        ),
        "enlist": "INSERT INTO comments_by_post (post_id, parent_id, comment_id) VALUES (?, ?, ?) USING TIMESTAMP ?",
        "delist": "DELETE FROM comments_by_post WHERE post_id = ? AND parent_id = ? AND comment_id = ?",
        "delete": "UPDATE comments_by_id SET deleted_at = ?, text = null WHERE comment_id = ?",
        "list": (
            "SELECT comment_id FROM comments_by_post WHERE post_id = ? AND parent_id = ? AND comment_id > ? LIMIT ?"
        ),
        "liked": (
            "SELECT like_count, comment_id FROM comments_by_likes WHERE post_id = ? AND parent_id = ?"
            " AND (like_count, comment_id) < (?, ?) LIMIT ?"
        ),
    }

    async def get(self, comment_id: int) -> StoredComment | None:
        rows = await self._rows("get", comment_id)
        if not rows or rows[0].author_id is None:
            return None
        row = rows[0]
        deleted = row.deleted_at is not None
        return StoredComment(comment_id, row.post_id, row.parent_id, row.author_id, row.text or "", deleted)

    async def add(self, comment: StoredComment, events: Sequence[EventRecord]) -> None:
        place = (comment.post_id, comment.parent_id)
        values = (comment.comment_id, *place, comment.author_id, comment.text, CREATED)
        listed = self._bound("enlist", *place, comment.comment_id, CREATED)
        await self._write([self._bound("add", *values), listed], events)

    async def delete(self, comments: Sequence[StoredComment], events: Sequence[EventRecord]) -> None:
        now = utc_now()
        statements: list[Bound] = []
        for comment in comments:
            statements.append(self._bound("delete", now, comment.comment_id))
            place = (comment.post_id, comment.parent_id, comment.comment_id)
            statements.append(self._bound("delist", *place))
        await self._write(statements, events)

    async def list(self, post_id: int, parent_id: int, after_id: int, limit: int) -> list[StoredComment]:
        found: list[StoredComment] = []
        while len(found) < limit:
            rows = await self._rows("list", post_id, parent_id, after_id, limit)
            comments = await asyncio.gather(*(self.get(row.comment_id) for row in rows))
            found += [comment for comment in comments if comment and not comment.deleted]
            if len(rows) < limit:
                break
            after_id = rows[-1].comment_id
        return found[:limit]

    async def list_liked(
        self, post_id: int, parent_id: int, below: tuple[int, int], limit: int
    ) -> Sequence[tuple[int, StoredComment]]:
        found: list[tuple[int, StoredComment]] = []
        while len(found) < limit:
            rows = await self._rows("liked", post_id, parent_id, *below, limit)
            comments = await asyncio.gather(*(self.get(row.comment_id) for row in rows))
            pairs = zip(rows, comments, strict=True)
            found += [(row.like_count, comment) for row, comment in pairs if comment and not comment.deleted]
            if len(rows) < limit:
                break
            below = rows[-1].like_count, rows[-1].comment_id
        return found[:limit]


class CassandraReconciliationStore(EventWritingStore):
    """Implements `services.interaction.ports.ReconciliationStore`."""

    cql = {
        "counted": (
            "SELECT member, present, version, total FROM ledger WHERE post_id = ? AND kind = ? AND member > ? LIMIT ?"
        ),
        "total": "SELECT total FROM ledger WHERE post_id = ? AND kind = ? LIMIT 1",
        "listed": "SELECT mark_id, member_id FROM mark_lists WHERE owner_id = ? AND kind = ? LIMIT ?",
        "mark": "SELECT version, active FROM marks WHERE user_id = ? AND kind = ? AND post_id = ?",
        "comments": "SELECT comment_id FROM comments_by_post WHERE post_id = ? AND parent_id = ? LIMIT ?",
        "comment": "SELECT author_id, deleted_at FROM comments_by_id WHERE comment_id = ?",
    }

    async def counted(self, post_id: int, kind: CountKind, limit: int) -> LedgerCount:
        rows = await self._rows("total", post_id, kind)
        total = (rows[0].total or 0) if rows else 0
        members, present, after = dict[int, MemberState](), 0, -1
        while rows := await self._rows("counted", post_id, kind, after, PAGE):
            total, after = rows[-1].total or 0, rows[-1].member
            present += sum(row.present for row in rows)
            members |= {row.member: MemberState(row.present, row.version) for row in rows[: limit - len(members)]}
        return LedgerCount(members, present, total)

    async def recorded(self, post_id: int, kind: CountKind, members: Iterable[int]) -> dict[int, MemberState]:
        read = self._comment if kind is CountKind.COMMENT else partial(self._mark, post_id, kind)
        ids = list(members)
        found = zip(ids, await _each(read, ids), strict=True)
        return {member: membership for member, membership in found if membership}

    async def listed(self, post_id: int, kind: CountKind, limit: int) -> list[int]:
        if kind is CountKind.COMMENT:

            async def children(parent_id: int) -> list[int]:
                return [row.comment_id for row in await self._rows("comments", post_id, parent_id, limit)]

            on_post = await children(NO_PARENT)
            return [*on_post, *chain.from_iterable(await _each(children, on_post))]
        name = SAVERS if kind is CountKind.SAVE else kind
        return [row.member_id for row in await self._rows("listed", post_id, name, limit)]

    async def _mark(self, post_id: int, kind: CountKind, user_id: int) -> MemberState | None:
        rows = await self._rows("mark", user_id, kind, post_id)
        return MemberState(rows[0].active, rows[0].version) if rows else None

    async def _comment(self, comment_id: int) -> MemberState | None:
        rows = await self._rows("comment", comment_id)
        if not rows or rows[0].author_id is None:
            return None
        deleted = rows[0].deleted_at is not None
        return MemberState(not deleted, DELETED if deleted else CREATED)


class CassandraLedgerReader(CassandraStore):
    """Implements `services.interaction.ports.CountLedger`: reads what the counters worker writes."""

    cql = {
        "member": "SELECT present, total FROM ledger WHERE post_id = ? AND kind = ? AND member = ?",
        "totals": (
            "SELECT DISTINCT post_id, kind, total FROM ledger"
            " WHERE post_id IN ? AND kind IN ('like', 'comment', 'save', 'view')"
        ),
        "comment_likes": (
            "SELECT DISTINCT post_id, kind, total FROM ledger WHERE post_id IN ? AND kind = 'comment_like'"
        ),
        "total": "SELECT total FROM ledger WHERE post_id = ? AND kind = ? LIMIT 1",
    }

    async def counted(self, target_id: int, kind: MarkKind, member: int) -> CountWithMember:
        # The total is read before the member: a member that is absent later is not in this total either.
        total = await self._total(target_id, kind)
        rows = await self._rows("member", target_id, kind, member)
        if rows and rows[0].present is not None:
            return CountWithMember(rows[0].total or 0, bool(rows[0].present))
        return CountWithMember(total, has_member=False)

    async def counts(self, post_ids: Sequence[int]) -> dict[int, Counts]:
        pages = [list(post_ids[start : start + POSTS_PER_READ]) for start in range(0, len(post_ids), POSTS_PER_READ)]
        answers = await asyncio.gather(*(self._rows("totals", page) for page in pages))
        totals = {(row.post_id, row.kind): row.total or 0 for rows in answers for row in rows}
        return {
            p: Counts(
                like_count=totals.get((p, "like"), 0),
                comment_count=totals.get((p, "comment"), 0),
                save_count=totals.get((p, "save"), 0),
                view_count=totals.get((p, "view"), 0),
            )
            for p in post_ids
        }

    async def comment_likes(self, comment_ids: Sequence[int]) -> dict[int, int]:
        pages = [
            list(comment_ids[at : at + PARTITIONS_PER_READ]) for at in range(0, len(comment_ids), PARTITIONS_PER_READ)
        ]
        answers = await asyncio.gather(*(self._rows("comment_likes", page) for page in pages))
        return dict.fromkeys(comment_ids, 0) | {row.post_id: row.total or 0 for rows in answers for row in rows}

    async def _total(self, post_id: int, kind: str) -> int:
        rows = await self._rows("total", post_id, kind)
        return (rows[0].total or 0) if rows else 0
