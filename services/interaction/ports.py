"""What the interaction service needs of others."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from libs.contracts.public import Author, CountKind, Counts, Post
from libs.contracts.records import EventRecord
from services.interaction.domain import Counted, Ledgered, Mark, MarkKind, Membership, StoredComment


class MarkStore(Protocol):
    """Likes and saves. Raises UnavailableError."""

    async def get(self, user_id: int, kind: MarkKind, target_id: int) -> Mark | None: ...

    async def put(self, mark: Mark, events: Sequence[EventRecord]) -> None:
        """Write the mark with its events. Of two writes of one mark the one of the higher version stays."""

    async def list(self, owner_id: int, kind: MarkKind, before_id: int, limit: int) -> list[tuple[int, int]]:
        """(mark id, member) pairs below `before_id`, newest first; marks taken back are left out."""

    async def active(
        self, user_id: int, kinds: Sequence[MarkKind], target_ids: Sequence[int]
    ) -> set[tuple[MarkKind, int]]:
        """Which of the posts or comments bear which of the person's marks."""


class CommentStore(Protocol):
    """Comments. Raises UnavailableError."""

    async def get(self, comment_id: int) -> StoredComment | None: ...

    async def add(self, comment: StoredComment, events: Sequence[EventRecord]) -> None:
        """Doing it again changes nothing."""

    async def delete(self, comments: Sequence[StoredComment], events: Sequence[EventRecord]) -> None: ...

    async def list(self, post_id: int, parent_id: int, after_id: int, limit: int) -> list[StoredComment]:
        """Oldest first, those that are not deleted; fewer than `limit` only at the end."""

    async def list_liked(
        self, post_id: int, parent_id: int, below: tuple[int, int], limit: int
    ) -> Sequence[tuple[int, StoredComment]]:
        """(likes, comment) with likes, most liked first, newest first of as many; below a pair of likes and id.

        Deleted ones are left out; fewer than `limit` only at the end.
        """

    async def record(self, events: Sequence[EventRecord]) -> None:
        """Events that have no row beside them."""


class Ledger(Protocol):
    """The counts that the counters worker writes. Raises UnavailableError."""

    async def counted(self, target_id: int, kind: MarkKind, member: int) -> Counted: ...

    async def counts(self, post_ids: Sequence[int]) -> Mapping[int, Counts]: ...

    async def comment_likes(self, comment_ids: Sequence[int]) -> Mapping[int, int]:
        """Likes of each comment."""


class AuditStore(Protocol):
    """The ledger's members, and the records that they stand for. Raises UnavailableError."""

    async def counted(self, post_id: int, kind: CountKind, limit: int) -> Ledgered:
        """With at most `limit` members."""

    async def recorded(self, post_id: int, kind: CountKind, members: Iterable[int]) -> Mapping[int, Membership]:
        """Of likes, saves and comments; members without a record are left out."""

    async def listed(self, post_id: int, kind: CountKind, limit: int) -> Sequence[int]:
        """Who liked or saved the post, or the comments on it; marks that were taken back may be among them."""

    async def record(self, events: Sequence[EventRecord]) -> None: ...


class CountsCache(Protocol):
    """What readers are shown while the ledger need not be asked."""

    async def cached(self, post_ids: Sequence[int]) -> Mapping[int, Counts]:
        """Those that are there."""


class Posts(Protocol):
    """Posts of the post service. Raises UnavailableError."""

    async def author_of(self, reader_id: int | None, post_id: int) -> int | None:
        """None for a post that is gone, or that the reader may not see. Without a reader it need only be there."""

    async def hydrate(self, reader_id: int, post_ids: Sequence[int]) -> list[Post]: ...


class People(Protocol):
    """Profiles. Raises UnavailableError."""

    async def people(self, reader_id: int, user_ids: Sequence[int]) -> dict[int, Author]:
        """Those whom no block parts from the reader."""
