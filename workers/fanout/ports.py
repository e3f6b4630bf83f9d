"""What fan-out needs of others."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

Range = tuple[int, int]
"""Followers with `after < id <= up_to`."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Who follows an author, and which way posts go to them."""

    follower_count: int
    is_push: bool


class Graph(Protocol):
    """The followers of authors."""

    async def audience(self, author_id: int) -> Audience | None:
        """None for an author that is gone."""

    async def ranges(self, author_id: int, size: int) -> Sequence[Range]:
        """All followers, cut into ranges of at most `size`."""

    def followers(self, author_id: int, within: Range) -> AsyncIterator[Sequence[int]]:
        """The ids in the range, page by page."""


class Feeds(Protocol):
    """The feed lists."""

    async def push(self, user_ids: Iterable[int], post_ids: Sequence[int]) -> int:
        """Put posts into the feeds that exist; entries written. Doing it again writes none."""


class ChunkQueue(Protocol):
    """Work for any fan-out worker."""

    async def put(self, author_id: int, post_id: int, within: Range) -> None:
        """Hand over one range; returns when it can't be lost any more."""
