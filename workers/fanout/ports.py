"""What fan-out needs of others."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from libs.contracts.internal.user import AudienceRecord
from libs.feedlists import ChunkProgress, DeliveryStatus, Mode, PushResult, Range, RemovalResult
from workers.fanout.domain import Level

Lane = Literal["push", "slow"]
"""The way chunks go: at full speed, or at a rate that all workers share."""


@dataclass(frozen=True, slots=True)
class DeliveredPost:
    """A post to be delivered, or to be taken out of lists."""

    post_id: int
    author_id: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A post for the followers in one range; with `removes` their lists are to be without it."""

    post: DeliveredPost
    within: Range
    removes: bool = False


class FollowerSource(Protocol):
    """The followers of authors."""

    async def audiences(self, author_ids: Collection[int], followers_up_to: int) -> Mapping[int, AudienceRecord]:
        """Of the authors that there are; with the followers of push authors who have no more than so many."""

    async def follower_ranges(self, author_id: int, size: int) -> Sequence[Range]:
        """All followers, cut into adjoining ranges of at most `size`."""

    def followers(self, author_id: int, within: Range) -> AsyncIterator[Sequence[int]]:
        """The ids in the range, ascending, page by page; no page is empty."""


class Feeds(Protocol):
    """The feed lists."""

    async def deliver(
        self, user_ids: Iterable[int], post_ids: Sequence[int], *, active_only: bool = False
    ) -> PushResult:
        """Put posts into the feeds that exist, or of active readers alone. Doing it again writes none."""

    async def deliver_each(
        self, posts: Sequence[tuple[int, Iterable[int]]], *, active_only: bool = False
    ) -> Sequence[PushResult]:
        """The same for many posts, each with its own readers."""

    async def withdraw(self, user_ids: Iterable[int], post_id: int) -> RemovalResult:
        """Take a post out of the feeds that exist. Doing it again finds them without it."""


class DeliveryLedger(Protocol):
    """How far each delivery is. Everything may be written twice."""

    async def planned(
        self, post_id: int, *, mode: Mode, follower_count: int, chunks: Sequence[Range] = ()
    ) -> Sequence[Range]:
        """The chunks to deliver: those of the first plan, when there was one before."""

    async def delivered(self, counts: Iterable[tuple[int, int, int]]) -> None:
        """Posts that were pushed at once: post id, followers, feeds that took it."""

    async def skipped(self, post_ids: Iterable[int]) -> None:
        """Posts that went into a gap."""

    async def begun(self, post_id: int, chunk_after_id: int) -> ChunkProgress:
        """Note that a worker takes the chunk; how far it came before."""

    async def progressed(self, post_id: int, chunk_after_id: int, *, after_id: int, delivered: int, done: bool) -> None:
        """The chunk's followers up to `after_id` have the post."""

    async def died(self, post_id: int, chunk_after_id: int | None = None) -> None:
        """The chunk, or the event of the post, went to the dead letters."""

    async def of(self, post_id: int) -> DeliveryStatus | None:
        """None for what was never planned."""


class RemovalLedger(DeliveryLedger, Protocol):
    """The same of deletes. A post that is in it is not pushed any more."""

    async def note(self, post_id: int, author_id: int) -> None:
        """The post was deleted."""

    async def known(self, post_ids: Collection[int]) -> set[int]:
        """Those that were deleted."""


class UnpushedRangeLog(Protocol):
    """Posts that are not pushed, for readers to pull."""

    async def extend(self, post_ids: Iterable[int]) -> None:
        """Put posts into the open gap; returns when they can't be lost any more."""

    async def settle(self) -> bool:
        """Open a gap if feeds may have lost the last that was written to them; whether so, again until `settled`."""

    async def settled(self) -> None:
        """What such a loss asks for is done."""

    async def close(self) -> None:
        """The open gap, if any, grows no more."""


class PullStamps(Protocol):
    """What tells readers that there is something to pull."""

    async def stamp_pulled(self) -> None: ...

    async def stamp_unpushed(self) -> None:
        """Posts went into a gap."""

    async def bump_generation(self) -> None:
        """Nothing that was kept before is relied on any more."""


class ChunkQueue(Protocol):
    """Work for any fan-out worker."""

    async def put(self, lane: Lane, chunks: Sequence[Chunk]) -> None:
        """Hand over chunks; returns when none can be lost any more."""


class DeliveryRate(Protocol):
    """A rate that all workers share."""

    async def take(self, count: int) -> None:
        """Wait until so many may go."""


class LagSource(Protocol):
    """The lag of all fan-out groups."""

    async def total(self) -> int:
        """In messages. Raises when it is not known."""


class LevelBoard(Protocol):
    """The level that all workers agree on."""

    async def read(self) -> int | None:
        """None when nobody published one of late."""

    async def publish(self, level: int) -> None: ...


class LoadLevel(Protocol):
    """The backpressure of the moment."""

    @property
    def level(self) -> Level: ...
