"""Ports of the counters worker."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from libs.contracts.events import PostCounted
from libs.contracts.public import CommentCountKind, CountKind
from workers.counters.domain import CommentPlace, CountUpdate, Membership


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """The stored states of some members of one count, and its total. Unknown members are absent."""

    members: Mapping[int, Membership]
    total: int


class MembershipLedger(Protocol):
    """Stores memberships and totals. Raises UnavailableError."""

    async def read(self, target_id: int, kind: CountKind | CommentCountKind, members: Iterable[int]) -> LedgerPage:
        """Read members and the total consistently, even during concurrent writes."""

    async def recount(self, post_id: int, kind: CountKind, members: Iterable[int]) -> LedgerPage:
        """Read members, and count the total from all members of the post."""

    async def write(self, post_id: int, kind: CountKind, update: CountUpdate, at: int) -> None:
        """Write members and total together, at the write time `at`. Rows with a later write time stay."""

    async def write_likes(self, place: CommentPlace, before: int, update: CountUpdate, at: int) -> None:
        """Write the likes of a comment, as `write` does, and its position among comments by likes.

        Args:
            place: the comment.
            before: the total until now.
            update: the changed members and the new total.
            at: the write time.
        """

    async def totals(self, post_id: int) -> Mapping[CountKind, int]: ...


class CountsWriter(Protocol):
    """The cache of counts for readers. Raises redis.RedisError."""

    async def put(self, counted: PostCounted) -> None:
        """Store counts, unless the cache has counts of a higher sequence."""


class CountsTopic(Protocol):
    """Publishes counts for other services. Raises UnavailableError."""

    async def publish(self, counted: PostCounted) -> None: ...
