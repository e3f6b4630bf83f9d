"""In-memory implementations of the ports."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from libs.contracts.public import Author, Counts, Post
from libs.contracts.records import EventRecord
from services.interaction.domain import POST_MARKS, CountWithMember, Mark, MarkKind, StoredComment

POST, POST_AUTHOR, ANN, BOB = 100, 1, 2, 3


class InMemoryMarks:
    def __init__(self) -> None:
        self.rows: dict[tuple[int, MarkKind, int], Mark] = {}
        self.asked: list[str] = []

    async def get(self, user_id: int, kind: MarkKind, target_id: int) -> Mark | None:
        return self.rows.get((user_id, kind, target_id))

    async def put(self, mark: Mark, events: Sequence[EventRecord]) -> None:
        known = self.rows.get((mark.user_id, mark.kind, mark.target_id))
        if known is None or known.version < mark.version:
            self.rows[mark.user_id, mark.kind, mark.target_id] = mark

    async def list(self, owner_id: int, kind: MarkKind, before_id: int, limit: int) -> list[tuple[int, int]]:
        found = [
            (m.mark_id, m.list_entry[1])
            for m in self.rows.values()
            if m.active and m.kind is kind and m.list_entry[0] == owner_id and m.mark_id < before_id
        ]
        return sorted(found, reverse=True)[:limit]

    async def active(
        self, user_id: int, kinds: Sequence[MarkKind], target_ids: Sequence[int]
    ) -> set[tuple[MarkKind, int]]:
        self.asked.append("active")
        mine = [mark for mark in self.rows.values() if mark.user_id == user_id and mark.active and mark.kind in kinds]
        return {(mark.kind, mark.target_id) for mark in mine if mark.target_id in target_ids}

    async def since(
        self, user_id: int, kinds: Sequence[MarkKind], first_id: int, limit: int
    ) -> Sequence[tuple[MarkKind, int, bool]]:
        self.asked.append("since")
        mine = [m for m in self.rows.values() if m.user_id == user_id and m.kind in kinds and m.target_id >= first_id]
        return [(mark.kind, mark.target_id, mark.active) for mark in mine][:limit]


class InMemoryActiveMarks:
    """Implements `ports.ActiveMarks` without a memory of its own."""

    def __init__(self, store: InMemoryMarks) -> None:
        self._store = store

    async def active(self, user_id: int, post_ids: Sequence[int]) -> set[tuple[MarkKind, int]]:
        return await self._store.active(user_id, POST_MARKS, post_ids)

    def forget(self, user_id: int) -> None: ...


class InMemoryComments:
    def __init__(self) -> None:
        self.rows: dict[int, StoredComment] = {}
        self.likes: dict[int, int] = {}

    async def get(self, comment_id: int) -> StoredComment | None:
        return self.rows.get(comment_id)

    async def add(self, comment: StoredComment, events: Sequence[EventRecord]) -> None:
        self.rows.setdefault(comment.comment_id, comment)

    async def delete(self, comments: Sequence[StoredComment], events: Sequence[EventRecord]) -> None:
        for comment in comments:
            self.rows[comment.comment_id] = replace(comment, deleted=True)

    async def list(self, post_id: int, parent_id: int, after_id: int, limit: int) -> list[StoredComment]:
        found = [
            c
            for c in self.rows.values()
            if (c.post_id, c.parent_id) == (post_id, parent_id) and c.comment_id > after_id and not c.deleted
        ]
        return sorted(found, key=lambda comment: comment.comment_id)[:limit]

    async def list_liked(
        self, post_id: int, parent_id: int, below: tuple[int, int], limit: int
    ) -> Sequence[tuple[int, StoredComment]]:
        places = sorted(((likes, c) for c, likes in self.likes.items() if likes), reverse=True)
        comments = [(likes, self.rows[c]) for likes, c in places if (likes, c) < below]
        found = [(n, c) for n, c in comments if (c.post_id, c.parent_id) == (post_id, parent_id) and not c.deleted]
        return found[:limit]

    async def record(self, events: Sequence[EventRecord]) -> None: ...


class InMemoryLedger:
    """Implements `ports.CountLedger`. Counts nothing by itself."""

    def __init__(self) -> None:
        self.members: dict[tuple[int, MarkKind], set[int]] = {}

    async def counted(self, target_id: int, kind: MarkKind, member: int) -> CountWithMember:
        members = self.members.get((target_id, kind), set())
        return CountWithMember(len(members), member in members)

    async def counts(self, post_ids: Sequence[int]) -> Mapping[int, Counts]:
        return {p: Counts(like_count=len(self.members.get((p, MarkKind.LIKE), ()))) for p in post_ids}

    async def comment_likes(self, comment_ids: Sequence[int]) -> Mapping[int, int]:
        return {c: len(self.members.get((c, MarkKind.COMMENT_LIKE), ())) for c in comment_ids}


class InMemoryPosts:
    def __init__(self) -> None:
        self.authors = {POST: POST_AUTHOR}
        self.hidden: set[tuple[int, int]] = set()

    async def author_of(self, reader_id: int | None, post_id: int) -> int | None:
        return None if (reader_id, post_id) in self.hidden else self.authors.get(post_id)

    async def hydrate(self, reader_id: int, post_ids: Sequence[int]) -> list[Post]:
        return []


class InMemoryPeople:
    def __init__(self) -> None:
        self.blocked_pairs: set[frozenset[int]] = set()

    async def people(self, reader_id: int, user_ids: Sequence[int]) -> dict[int, Author]:
        seen = (u for u in user_ids if frozenset((reader_id, u)) not in self.blocked_pairs)
        return {u: Author(user_id=u, username=f"user_{u}", display_name="") for u in seen}
