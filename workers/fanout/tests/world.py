"""Everything around fan-out, in memory."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from libs.contracts.internal.user import AudienceMode, AudienceRecord
from libs.feedlists import BackpressureLevel, ChunkProgress, DeliveryStatus, Mode, PushResult, Range, RemovalResult
from workers.fanout.ports import Chunk, Lane, PostRef
from workers.fanout.service.fanout import Fanout, FeedRemover, FeedWriter, Ledgers

AUTHOR = 1
POST = PostRef(100, AUTHOR)
LATEST = {99}  # what may be lost with a server


class InMemoryGraph:
    """Implements `FollowerGraph` with one author."""

    def __init__(self, followers: Iterable[int], *, is_push: bool = True) -> None:
        self.ids = sorted(followers)
        self.is_push = is_push
        self.page = 2
        self.pages_left = 1_000_000

    async def audiences(self, author_ids: Collection[int], followers_up_to: int) -> Mapping[int, AudienceRecord]:
        few = list(self.ids) if self.is_push and len(self.ids) <= followers_up_to else None
        mode: AudienceMode = "push" if self.is_push else "pull"
        one = AudienceRecord(user_id=AUTHOR, follower_count=len(self.ids), mode=mode, followers=few)
        return {AUTHOR: one} if AUTHOR in author_ids else {}

    async def follower_ranges(self, author_id: int, size: int) -> Sequence[Range]:
        ends = [self.ids[min(i + size, len(self.ids)) - 1] for i in range(0, len(self.ids), size)]
        return list(zip([0, *ends], ends, strict=False))

    async def followers(self, author_id: int, within: Range) -> AsyncIterator[Sequence[int]]:
        after, up_to = within
        ids = [i for i in self.ids if after < i <= up_to]
        for start in range(0, len(ids), self.page):
            if not self.pages_left:
                raise TimeoutError
            self.pages_left -= 1
            yield ids[start : start + self.page]


class InMemoryFeeds:
    """Feeds of everyone; only the active ones are left by a delivery to these."""

    def __init__(self) -> None:
        self.held: set[tuple[int, int]] = set()
        self.inactive: set[int] = set()

    async def deliver(
        self, user_ids: Iterable[int], post_ids: Sequence[int], *, active_only: bool = False
    ) -> PushResult:
        users = set(user_ids)
        dropped = users & self.inactive if active_only else set()
        wanted = {(user, post) for user in users - dropped for post in post_ids}
        new = wanted - self.held
        self.held |= new
        return PushResult(len(new), len(wanted) - len(new), len(dropped))

    async def deliver_each(
        self, posts: Sequence[tuple[int, Iterable[int]]], *, active_only: bool = False
    ) -> Sequence[PushResult]:
        return [await self.deliver(users, [post], active_only=active_only) for post, users in posts]

    async def withdraw(self, user_ids: Iterable[int], post_id: int) -> RemovalResult:
        unwanted = {(user, post_id) for user in user_ids}
        taken = unwanted & self.held
        self.held -= taken
        return RemovalResult(len(taken), len(unwanted) - len(taken))


class InMemoryQueue:
    def __init__(self) -> None:
        self.chunks: dict[Lane, list[Chunk]] = {"push": [], "slow": []}
        self.refuses: set[int] = set()

    async def put(self, lane: Lane, chunks: Sequence[Chunk]) -> None:
        if any(chunk.post.post_id in self.refuses for chunk in chunks):
            raise TimeoutError
        self.chunks[lane] += chunks


class InMemoryLedger:
    def __init__(self) -> None:
        self.modes: dict[int, Mode] = {}
        self.plans: dict[int, Sequence[Range]] = {}
        self.progress: dict[tuple[int, int], ChunkProgress] = {}
        self.dead: set[tuple[int, int | None]] = set()

    async def planned(
        self, post_id: int, *, mode: Mode, follower_count: int, chunks: Sequence[Range] = ()
    ) -> Sequence[Range]:
        self.modes[post_id] = mode
        return self.plans.setdefault(post_id, chunks)

    async def delivered(self, counts: Iterable[tuple[int, int, int]]) -> None:
        for post_id, _, delivered in counts:
            self.modes[post_id] = "push"
            self.plans.setdefault(post_id, [(0, 0)])
            self.progress[post_id, 0] = ChunkProgress(0, delivered, is_done=True)

    async def delivered_before(self, post_ids: Iterable[int]) -> set[int]:
        done = {post for (post, after), progress in self.progress.items() if after == 0 and progress.is_done}
        planned = {post_id for post_id in post_ids if self.plans.get(post_id) == [(0, 0)]}
        return done & planned - {post for post, _ in self.dead}

    async def skipped(self, post_ids: Iterable[int]) -> None:
        self.modes |= dict.fromkeys(post_ids, "skipped")

    async def begun(self, post_id: int, chunk_after_id: int) -> ChunkProgress:
        return self.progress.get((post_id, chunk_after_id), ChunkProgress(chunk_after_id, 0, is_done=False))

    async def progressed(self, post_id: int, chunk_after_id: int, *, after_id: int, delivered: int, done: bool) -> None:
        self.progress[post_id, chunk_after_id] = ChunkProgress(after_id, delivered, is_done=done)

    async def died(self, post_id: int, chunk_after_id: int | None = None) -> None:
        self.dead.add((post_id, chunk_after_id))

    async def of(self, post_id: int) -> DeliveryStatus | None:
        if post_id not in self.modes:
            return None
        now = datetime.now(UTC)
        return DeliveryStatus(self.modes[post_id], 0, 0, 0, 0, now, None, 0, 0)

    def delivered_in_all(self) -> int:
        return sum(progress.delivered for progress in self.progress.values())


class InMemoryRemovals(InMemoryLedger):
    def __init__(self) -> None:
        super().__init__()
        self.noted: set[int] = set()

    async def note(self, post_id: int, author_id: int) -> None:
        self.noted.add(post_id)

    async def known(self, post_ids: Collection[int]) -> set[int]:
        return self.noted & set(post_ids)


class InMemoryGaps:
    def __init__(self) -> None:
        self.server, self.server_before = 1, 1
        self.closed: list[set[int]] = []
        self.open: set[int] = set()

    async def extend(self, post_ids: Iterable[int]) -> None:
        self.open |= set(post_ids)

    async def open_after_failover(self) -> bool:
        is_other = self.server != self.server_before
        if is_other:
            self.open |= LATEST
        return is_other

    async def mark_failover_handled(self) -> None:
        self.server_before = self.server

    async def close(self) -> None:
        if self.open:
            self.closed.append(self.open)
        self.open = set()


class InMemoryRate:
    def __init__(self) -> None:
        self.taken: list[int] = []

    async def take(self, count: int) -> None:
        self.taken.append(count)


@dataclass
class InMemoryPulls:
    marks = 0
    skips = 0
    forgotten = 0
    posted: list[tuple[int, int]] = field(default_factory=list)

    async def stamp_all_pages(self) -> None:
        self.skips += 1

    async def forget_recent(self, posted: Collection[tuple[int, int]]) -> None:
        self.posted += posted

    async def stamp_pulled(self) -> None:
        self.marks += 1

    async def bump_generation(self) -> None:
        self.forgotten += 1


class FixedBackpressure:
    level: BackpressureLevel = BackpressureLevel.NORMAL


@dataclass
class World:
    """Chunks of 10 followers; from 100 on through the slow lane."""

    graph: InMemoryGraph
    feeds: InMemoryFeeds = field(default_factory=InMemoryFeeds)
    queue: InMemoryQueue = field(default_factory=InMemoryQueue)
    ledger: InMemoryLedger = field(default_factory=InMemoryLedger)
    removals: InMemoryRemovals = field(default_factory=InMemoryRemovals)
    gaps: InMemoryGaps = field(default_factory=InMemoryGaps)
    rate: InMemoryRate = field(default_factory=InMemoryRate)
    backpressure: FixedBackpressure = field(default_factory=FixedBackpressure)
    pulls: InMemoryPulls = field(default_factory=InMemoryPulls)

    def __post_init__(self) -> None:
        self.ledgers = Ledgers(self.ledger, self.removals)
        self.fanout = Fanout(
            self.graph,
            {
                "push": FeedWriter(self.graph, self.feeds, self.ledger, self.backpressure),
                "slow": FeedWriter(self.graph, self.feeds, self.ledger, self.backpressure, self.rate),
            },
            {
                "push": FeedRemover(self.graph, self.feeds, self.removals),
                "slow": FeedRemover(self.graph, self.feeds, self.removals, self.rate),
            },
            self.queue,
            self.ledgers,
            self.gaps,
            self.backpressure,
            self.pulls,
            chunk_followers=10,
            slow_lane_from=100,
        )

    def everyone_has(self, post: PostRef) -> bool:
        return {(user, post.post_id) for user in self.graph.ids} == self.feeds.held
