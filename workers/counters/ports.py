"""What counting needs of others."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from libs.contracts.events import PostCounted
from libs.contracts.public import CommentCountKind, CountKind
from workers.counters.domain import CommentPlace, Folded, Membership


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """What the ledger knows of some members of one count."""

    members: Mapping[int, Membership]
    total: int


class Ledger(Protocol):
    """Memberships and totals. Raises UnavailableError."""

    async def read(self, target_id: int, kind: CountKind | CommentCountKind, members: Iterable[int]) -> LedgerPage:
        """As of one moment, whoever writes meanwhile."""

    async def recount(self, post_id: int, kind: CountKind, members: Iterable[int]) -> LedgerPage:
        """The same, but the total is counted from all members that there are."""

    async def write(self, post_id: int, kind: CountKind, folded: Folded, at: int) -> None:
        """All at once, at the write time `at`; what was written later stays."""

    async def write_likes(self, place: CommentPlace, before: int, folded: Folded, at: int) -> None:
        """The same of a comment's likes, with its place among the comments by likes; `before`: the total until now."""

    async def totals(self, post_id: int) -> Mapping[CountKind, int]: ...


class CountsCache(Protocol):
    """Counts for readers. Raises redis.RedisError."""

    async def put(self, counted: PostCounted) -> None:
        """Counts of a lower sequence than those that are there change nothing."""


class CountsTopic(Protocol):
    """Counts for other services. Raises UnavailableError."""

    async def publish(self, counted: PostCounted) -> None: ...
