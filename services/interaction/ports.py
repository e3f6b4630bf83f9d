"""Ports of the use cases: stores and other services."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from libs.contracts.public import Author, CountKind, Counts, Post
from libs.contracts.records import EventRecord
from services.interaction.domain import CountWithMember, LedgerCount, Mark, MarkKind, MemberState, StoredComment


class MarkStore(Protocol):
    """Likes and saves. Raises UnavailableError."""

    async def get(self, user_id: int, kind: MarkKind, target_id: int) -> Mark | None: ...

    async def put(self, mark: Mark, events: Sequence[EventRecord]) -> None:
        """Write the mark with its events. Of two writes, the one with the higher version stays."""

    async def list(self, owner_id: int, kind: MarkKind, before_id: int, limit: int) -> list[tuple[int, int]]:
        """Return (mark id, member) pairs below `before_id`, newest first, without removed marks."""

    async def active(
        self, user_id: int, kinds: Sequence[MarkKind], target_ids: Sequence[int]
    ) -> set[tuple[MarkKind, int]]:
        """Return the user's active marks on these posts or comments."""

    async def since(
        self, user_id: int, kinds: Sequence[MarkKind], first_id: int, limit: int
    ) -> Sequence[tuple[MarkKind, int, bool]]:
        """Return at most `limit` marks of the user on targets from `first_id` on, and whether each is active."""


class ActiveMarks(Protocol):
    """The marks of readers, from memory or the store. Raises UnavailableError."""

    async def active(self, user_id: int, post_ids: Sequence[int]) -> set[tuple[MarkKind, int]]:
        """Return the user's likes and saves of these posts."""

    def forget(self, user_id: int) -> None:
        """Read the user's marks again next time. It is called after each change, as Redis may have lost its stamp."""


class CommentStore(Protocol):
    """Comments. Raises UnavailableError."""

    async def get(self, comment_id: int) -> StoredComment | None: ...

    async def add(self, comment: StoredComment, events: Sequence[EventRecord]) -> None:
        """Add a comment. Idempotent."""

    async def delete(self, comments: Sequence[StoredComment], events: Sequence[EventRecord]) -> None: ...

    async def list(self, post_id: int, parent_id: int, after_id: int, limit: int) -> list[StoredComment]:
        """Return comments that are not deleted, oldest first. Fewer than `limit` mean the end."""

    async def list_liked(
        self, post_id: int, parent_id: int, below: tuple[int, int], limit: int
    ) -> Sequence[tuple[int, StoredComment]]:
        """Return (like count, comment) of liked comments, below a pair of like count and comment id.

        Most liked first, then newest first. Deleted comments are left out. Fewer than `limit` mean the end.
        """

    async def record(self, events: Sequence[EventRecord]) -> None:
        """Write events that belong to no row."""


class CountLedger(Protocol):
    """The counts that the counters worker writes. Raises UnavailableError."""

    async def counted(self, target_id: int, kind: MarkKind, member: int) -> CountWithMember: ...

    async def counts(self, post_ids: Sequence[int]) -> Mapping[int, Counts]: ...

    async def comment_likes(self, comment_ids: Sequence[int]) -> Mapping[int, int]:
        """Return the likes of each comment."""


class ReconciliationStore(Protocol):
    """The members in the ledger, and the records that they represent. Raises UnavailableError."""

    async def counted(self, post_id: int, kind: CountKind, limit: int) -> LedgerCount:
        """Return the count with at most `limit` members."""

    async def recorded(self, post_id: int, kind: CountKind, members: Iterable[int]) -> Mapping[int, MemberState]:
        """Return the state of likes, saves and comments by the records, without members that have no record."""

    async def listed(self, post_id: int, kind: CountKind, limit: int) -> Sequence[int]:
        """Return users who liked or saved the post, or ids of its comments.

        May include removed marks.
        """

    async def record(self, events: Sequence[EventRecord]) -> None: ...


class CachedPostCounts(Protocol):
    """Counts of posts that can be shown without reading the ledger."""

    async def cached(self, post_ids: Sequence[int]) -> Mapping[int, Counts]:
        """Return the counts that are in the cache."""


class ReadablePosts(Protocol):
    """Posts in the post service. Raises UnavailableError."""

    async def author_of(self, reader_id: int | None, post_id: int) -> int | None:
        """Return None for a post that is absent or hidden from the reader. Without a reader it only has to exist."""

    async def hydrate(self, reader_id: int, post_ids: Sequence[int]) -> list[Post]: ...


class VisiblePeople(Protocol):
    """Profiles in the user service. Raises UnavailableError."""

    async def people(self, reader_id: int, user_ids: Sequence[int]) -> dict[int, Author]:
        """Return users who neither block the reader nor are blocked by them."""
