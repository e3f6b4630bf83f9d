"""Where a reader's posts come from: the feed list, the pulled authors, and the records when the list is not there."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from cachetools import TTLCache
from redis.exceptions import RedisError

from libs.common.core.errors import UnavailableError
from libs.common.core.ids import first_id_at, now_ms
from libs.common.core.logging import get_logger
from libs.feedlists import CAP, UnpushedRange
from services.feed.domain.feed import Candidates, CoverageGap, Followees, GapReason, window_start
from services.feed.ports import LATEST, Cache, FeedListStore, Graph, Posts, UnpushedRangeStore, last_known
from services.feed.service.single_flight import SingleFlight

REBUILD_S = 0.45  # a first read waits this long for its list, so that it is answered within 500 ms
KEEP_FOLLOWEES_S = 3_600  # they are kept for 24 h: once an hour, or when they changed, is often enough
READERS_KEPT = 100_000
SOURCE_DOWN = frozenset({CoverageGap(GapReason.SOURCE_DOWN)})
STALE = frozenset({CoverageGap(GapReason.SOURCE_DOWN, stale=True)})
log = get_logger(__name__)


class CandidateGatherer:
    """Gathers candidates. Feeds that are absent or half built are rebuilt once, whoever asks meanwhile."""

    def __init__(
        self,
        graph: Graph,
        posts: Posts,
        lists: FeedListStore,
        unpushed_ranges: UnpushedRangeStore,
        cache: Cache,
        window_days: int,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._graph = graph
        self._posts = posts
        self._lists = lists
        self._unpushed_ranges = unpushed_ranges
        self._cache = cache
        self._window_days = window_days
        self._clock_ms = clock_ms
        self._rebuilds = SingleFlight[int, Candidates]()
        self._kept: TTLCache[int, int] = TTLCache(READERS_KEPT, KEEP_FOLLOWEES_S)

    def top(self) -> int:
        """The first id of the present millisecond."""
        return first_id_at(self._clock_ms())

    def window_start(self, top: int | None = None) -> int:
        """The first id inside the window that ends at `top`, or now."""
        return window_start(self.top() if top is None else top, self._window_days)

    async def followees(self, reader_id: int) -> Followees:
        """Whom the reader follows now; as last known when the graph is away.

        Raises:
            UnavailableError: the graph is away, and nothing is known.
        """
        try:
            followees = await self._graph.followees(reader_id)
        except UnavailableError:
            kept = await self._cached_followees(reader_id)
            if kept is None:
                raise
            return kept
        if self._kept.get(reader_id) != hash(followees):
            await self._keep(reader_id, followees)
        return followees

    async def _keep(self, reader_id: int, followees: Followees) -> None:
        try:
            await self._cache.cache_followees(reader_id, followees)
            self._kept[reader_id] = hash(followees)
        except RedisError as error:
            log.warning("followees_not_kept", error=repr(error))

    async def _cached_followees(self, reader_id: int) -> Followees | None:
        try:
            return await self._cache.cached_followees(reader_id)
        except RedisError:
            return None

    async def gather(self, reader_id: int, followees: Followees) -> Candidates:
        """The candidates within the window."""
        listed, pulled = await asyncio.gather(
            self._listed(reader_id, followees), self._pulled({reader_id, *followees.pull})
        )
        floor = max(self.window_start(), listed.floor, pulled.floor)
        post_ids = {p for p in (*listed.post_ids, *pulled.post_ids) if p >= floor}
        return Candidates(tuple(sorted(post_ids, reverse=True)), floor, listed.gaps | pulled.gaps)

    async def older(self, reader_id: int, followees: Followees, after_id: int, before_id: int, limit: int) -> list[int]:
        """The newest ids between the bounds, from the records; fewer than `limit` only when there are no more."""
        recent = await self._posts.recent({reader_id, *followees.all}, after_id, before_id, limit)
        return sorted({p for post_ids in recent.values() for p in post_ids}, reverse=True)[:limit]

    async def _pulled(self, authors: set[int]) -> Candidates:
        """Busy authors are asked for more: one of them alone must not raise the floor."""
        start, recent = self.window_start(), dict[int, list[int]]()
        try:
            recent = await self._posts.latest(sorted(authors), start)
            if busy := [author for author, post_ids in recent.items() if len(post_ids) >= LATEST]:
                recent |= await self._posts.recent(busy, start, None, CAP)
        except UnavailableError as error:
            known = recent or last_known(error)
            return Candidates(tuple(p for post_ids in known.values() for p in post_ids), start, STALE)
        floor = max((post_ids[-1] for post_ids in recent.values() if len(post_ids) >= CAP), default=start)
        return Candidates(tuple(p for post_ids in recent.values() for p in post_ids), floor)

    async def _listed(self, reader_id: int, followees: Followees) -> Candidates:
        try:
            found, unpushed_ranges = await asyncio.gather(
                self._lists.read(reader_id), self._unpushed_ranges.of(reader_id)
            )
            if found is None or found.building:
                return await self._rebuilt(reader_id, followees)
            start = self.window_start()
            listed = Candidates(found.post_ids, start if found.complete else min(found.post_ids, default=start))
            unhealed = [gap for gap in unpushed_ranges if gap.gap_id > found.healed]
            return await self._healed(reader_id, followees, listed, unhealed) if unhealed else listed
        except RedisError as error:
            log.warning("feed_list_unreadable", error=repr(error))
            return await self._from_records(followees, SOURCE_DOWN)

    async def _healed(
        self, reader_id: int, followees: Followees, listed: Candidates, unhealed: Sequence[UnpushedRange]
    ) -> Candidates:
        """With what was not pushed; what lies in gaps that are over is in the list from then on."""
        first_id, last_id = min(gap.first_id for gap in unhealed), max(gap.last_id for gap in unhealed)
        try:
            recent = await self._posts.recent(followees.all, first_id - 1, last_id + 1, CAP)
        except UnavailableError:
            return replace(listed, gaps=STALE)
        pulled = sorted(p for post_ids in recent.values() for p in post_ids)
        over = [gap.gap_id for gap in unhealed if not gap.is_open]
        if over and not followees.stale:
            await self._lists.heal(reader_id, pulled[-CAP:], max(over))
        lossy = {CoverageGap(GapReason.LOSSY, gap.first_id, gap.last_id) for gap in unhealed if gap.is_open}
        floor = max([listed.floor, *(ids[-1] for ids in recent.values() if len(ids) == CAP)])
        return Candidates((*listed.post_ids, *pulled), floor, frozenset(lossy))

    async def _rebuilt(self, reader_id: int, followees: Followees) -> Candidates:
        """The built list, or after 0.45 s what there is of it; then it is built behind the answer."""
        flight = self._rebuilds.join(reader_id, lambda: self._rebuild(reader_id, followees))
        try:
            return await asyncio.wait_for(flight, REBUILD_S)
        except UnavailableError:
            return Candidates((), self.window_start(), STALE)
        except TimeoutError:
            found = await self._lists.read(reader_id)
            rebuilding = frozenset({CoverageGap(GapReason.REBUILDING)})
            return Candidates(found.post_ids if found else (), self.window_start(), rebuilding)

    async def _rebuild(self, reader_id: int, followees: Followees) -> Candidates:
        """Begin before reading the records: what is posted later is pushed, what was posted before is read.

        The same for whom the reader follows: later events find a list to work on. Without the graph it stays unbuilt.
        """
        try:
            await self._lists.begin(reader_id)
            followees = await self._graph.followees(reader_id)
            await self._keep(reader_id, followees)  # where there is no list, Redis may have lost them, too
            found = await self._from_records(followees, frozenset())
            await self._lists.merge(reader_id, found.post_ids, finish=True)
        except UnavailableError:
            return await self._from_records(followees, SOURCE_DOWN)
        except RedisError as error:
            log.warning("feed_not_rebuilt", error=repr(error))
            return await self._from_records(followees, SOURCE_DOWN)
        return found

    async def warm(self, reader_id: int) -> None:
        """Build the list if there is none. Raises RedisError, UnavailableError."""
        found = await self._lists.read(reader_id)
        if found is None or found.building:
            followees = await self.followees(reader_id)
            await self._rebuilds.join(reader_id, lambda: self._rebuild(reader_id, followees))

    async def _from_records(self, followees: Followees, gaps: frozenset[CoverageGap]) -> Candidates:
        start = self.window_start()
        recent = await self._posts.recent(followees.all, start, None, CAP)
        newest = sorted((p for post_ids in recent.values() for p in post_ids), reverse=True)[:CAP]
        return Candidates(tuple(newest), newest[-1] if len(newest) == CAP else start, gaps)
