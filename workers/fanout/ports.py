"""Ports of fan-out."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from libs.contracts.internal.user import AudienceRecord
from libs.feedlists import BackpressureLevel, ChunkProgress, DeliveryStatus, Mode, PushResult, Range, RemovalResult

Lane = Literal["push", "slow"]
"""The queue of a chunk: `push` is processed at full speed, `slow` at a rate that all workers share."""


@dataclass(frozen=True, slots=True)
class PostRef:
    """A post to push into lists, or to remove from them."""

    post_id: int
    author_id: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A post to push to the followers in a range, or with `removes` to remove from their lists."""

    post: PostRef
    within: Range
    removes: bool = False


class FollowerGraph(Protocol):
    """The followers of authors. Raises UnavailableError."""

    async def audiences(self, author_ids: Collection[int], followers_up_to: int) -> Mapping[int, AudienceRecord]:
        """The audiences of existing authors, with the ids for push authors of at most `followers_up_to` followers."""

    async def follower_ranges(self, author_id: int, size: int) -> Sequence[Range]:
        """All followers, divided into adjoining ranges of at most `size`."""

    def followers(self, author_id: int, within: Range) -> AsyncIterator[Sequence[int]]:
        """The ids in the range in ascending order, page by page. No page is empty."""


class Feeds(Protocol):
    """The feed lists. Raises UnavailableError."""

    async def deliver(
        self, user_ids: Iterable[int], post_ids: Sequence[int], *, active_only: bool = False
    ) -> PushResult:
        """Add posts to existing feeds, or only to those of active readers. The call may be repeated."""

    async def deliver_each(
        self, posts: Sequence[tuple[int, Iterable[int]]], *, active_only: bool = False
    ) -> Sequence[PushResult]:
        """Add each post to the existing feeds of its own readers. Return one result for each post, in the same order.

        `posts` has pairs of a post id and reader ids. With `active_only`, feeds that were not read for 24 h are deleted
        instead. A repeated call adds no post twice.
        """

    async def withdraw(self, user_ids: Iterable[int], post_id: int) -> RemovalResult:
        """Remove a post from existing feeds. The call may be repeated."""


class DeliveryLedger(Protocol):
    """The progress of deliveries. All calls may be repeated. Raises UnavailableError."""

    async def planned(
        self, post_id: int, *, mode: Mode, follower_count: int, chunks: Sequence[Range] = ()
    ) -> Sequence[Range]:
        """Store the plan unless there is one; the chunks of the stored plan."""

    async def delivered(self, counts: Iterable[tuple[int, int, int]]) -> None:
        """Note posts that were delivered without chunks, each as (post id, number of followers, delivered)."""

    async def delivered_before(self, post_ids: Iterable[int]) -> set[int]:
        """The posts that were delivered without chunks, and are not in the dead letters."""

    async def skipped(self, post_ids: Iterable[int]) -> None:
        """Note posts that were not pushed because of backpressure."""

    async def begun(self, post_id: int, chunk_after_id: int) -> ChunkProgress:
        """Note that a worker starts the chunk; the progress of earlier attempts."""

    async def progressed(self, post_id: int, chunk_after_id: int, *, after_id: int, delivered: int, done: bool) -> None:
        """Note that the chunk's followers up to `after_id` are done, with `delivered` feeds since its start."""

    async def died(self, post_id: int, chunk_after_id: int | None = None) -> None:
        """Note that the chunk, or without one the event of the post, was moved to the dead letters."""

    async def of(self, post_id: int) -> DeliveryStatus | None:
        """The delivery of a post; None if it was never planned."""


class RemovalLedger(DeliveryLedger, Protocol):
    """The progress of removals. Posts noted here are not pushed any more."""

    async def note(self, post_id: int, author_id: int) -> None:
        """Note that the post was deleted."""

    async def known(self, post_ids: Collection[int]) -> set[int]:
        """The posts that were noted as deleted."""


class UnpushedRangeLog(Protocol):
    """Ranges of posts that are not pushed, for readers to pull. Raises UnavailableError."""

    async def extend(self, post_ids: Iterable[int]) -> None:
        """Add posts to the open range, or open one. When this returns, the posts are stored."""

    async def open_after_failover(self) -> bool:
        """Open a range if feeds may lack the last writes; true if so, until `mark_failover_handled`."""

    async def mark_failover_handled(self) -> None:
        """Note that such a loss is taken care of."""

    async def close(self) -> None:
        """Close the open range, if there is one."""


class PullStamps(Protocol):
    """Stamps that tell readers that there are posts to pull. Raises UnavailableError."""

    async def forget_recent(self, posted: Collection[tuple[int, int]]) -> None:
        """Delete the cached lists of newest posts that lack these, given as (author id, post id)."""

    async def stamp_pulled(self) -> None: ...

    async def stamp_all_pages(self) -> None:
        """Invalidate all cached pages, because posts were not pushed under backpressure."""

    async def bump_generation(self) -> None:
        """Invalidate all cached values."""


class ChunkQueue(Protocol):
    """The queue of chunks for all fan-out workers. Raises UnavailableError."""

    async def put(self, lane: Lane, chunks: Sequence[Chunk]) -> None:
        """Queue chunks. When this returns, all are stored."""


class SlowLaneRate(Protocol):
    """The rate of the slow lane, which all workers share. Raises redis.RedisError."""

    async def take(self, count: int) -> None:
        """Wait until `count` more feeds may be written."""


class LagSource(Protocol):
    """The lag of all fan-out groups."""

    async def total(self) -> int:
        """The lag in messages. Raises KafkaError or TimeoutError."""


class BackpressureBoard(Protocol):
    """The published level, which all workers share. Raises UnavailableError."""

    async def read(self) -> BackpressureLevel | None:
        """The level; None if none was published recently."""

    async def publish(self, level: BackpressureLevel) -> None: ...


class CurrentBackpressure(Protocol):
    """The backpressure level that this worker applies now."""

    @property
    def level(self) -> BackpressureLevel: ...
