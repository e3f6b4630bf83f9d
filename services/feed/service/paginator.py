"""Pages of a feed: paging shows each eligible post exactly once, whatever changes between two pages.

Chronological pages descend by id. Ranked pages follow the pinned order of their session, then descend by id below it.
The cursor contains all that is needed to continue without the session.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from libs.common.core.errors import UnavailableError
from libs.common.core.ids import MAX_ID, id_time_ms
from libs.common.core.logging import get_logger
from libs.contracts.public import PostRecord
from services.feed.domain.cursor import TAIL, ChronologicalCursor, RankedCursor, new_session
from services.feed.domain.feed import Candidates, CoverageGap, GapReason, Source, source_of
from services.feed.ports import Cache, FeedListStore, PinnedOrder, PostCache, Posts, Ranker, ReaderState
from services.feed.service.candidates import CandidateGatherer
from services.feed.service.sources import SOURCE_DOWN, STALE

PINNED_MAX = 600  # posts of a pinned order, whose ids fit into a cursor; later pages show other posts after them
FILL_UP = 100  # posts that are read at once when the first read returned too few visible ones
INCOMPLETE = STALE | {CoverageGap(GapReason.REBUILDING)}
Gaps = frozenset[CoverageGap]
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Item:
    """A post that the reader may see."""

    record: PostRecord
    source: Source


@dataclass(frozen=True, slots=True)
class FeedSlice:
    """The posts of one page, the cursor of the next page (None at the end), and what may be missing.

    `lookahead` is the first item of the next page: a cached page may promise a next page only while it is visible.
    """

    items: Sequence[Item]
    session_id: str
    lookahead: Item | None = None
    next_cursor: ChronologicalCursor | RankedCursor | None = None
    gaps: Gaps = frozenset()


@dataclass(slots=True)
class _Found:
    """Visible posts, each with its index in the ids that were read."""

    items: list[Item] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    gaps: Gaps = frozenset()


class FeedPaginator:
    """Reads pages in both orders."""

    def __init__(
        self,
        candidates: CandidateGatherer,
        ranker: Ranker,
        posts: Posts,
        records: PostCache,
        lists: FeedListStore,
        cache: Cache,
    ) -> None:
        self._candidates = candidates
        self._window = candidates.window
        self._ranker = ranker
        self._posts = posts
        self._records = records
        self._lists = lists
        self._cache = cache

    async def chronological(self, reader: ReaderState, at: ChronologicalCursor | None, limit: int) -> FeedSlice:
        """Return a page, newest first. The last page ends with the oldest post. Raises UnavailableError."""
        candidates = await self._candidates.gather(reader)
        if at is None:
            at = ChronologicalCursor(new_session(self._window.top()), MAX_ID)
            if not candidates.gaps & INCOMPLETE:
                await self._pin(reader, at.session_id, _known(candidates))
        below = [p for p in candidates.post_ids if p < at.bound]
        found = await self._visible(reader, below, limit + 1, candidates.sources)
        items, gaps = found.items, candidates.gaps | found.gaps
        if len(items) <= limit and not gaps & INCOMPLETE:
            older = await self._older(reader, 0, min(at.bound, candidates.floor), frozenset(), limit + 1 - len(items))
            items, gaps = items + older.items, gaps | older.gaps
        if len(items) <= limit:
            return FeedSlice(items, at.session_id, gaps=gaps)
        following = ChronologicalCursor(at.session_id, items[limit - 1].record.post_id)
        return FeedSlice(items[:limit], at.session_id, items[limit], following, gaps)

    async def ranked(self, reader: ReaderState, at: RankedCursor | None, limit: int) -> FeedSlice:
        """Return a page in the pinned order. Behind it posts follow newest first, to the end of the window.

        Raises UnavailableError.
        """
        if at is not None and at.position == TAIL:
            return await self._tail(reader, at, limit, FeedSlice((), at.session_id))
        at, pinned, candidates, gaps = await self._resume(reader, at)
        found = await self._visible(reader, pinned.post_ids[at.position :], limit + 1, candidates)
        items, gaps = found.items, gaps | found.gaps
        if len(items) > limit:
            shown = at.shown | _ids(items[:limit])
            following = replace(at, position=at.position + found.indexes[limit], shown=shown)
            return FeedSlice(items[:limit], at.session_id, items[limit], following, gaps)
        if gaps & INCOMPLETE:  # posts above the floor may be missing, so the page is the last one and says so
            return FeedSlice(items, at.session_id, gaps=gaps)
        return await self._tail(reader, at.tail(pinned.floor), limit, FeedSlice(items, at.session_id, gaps=gaps))

    async def _tail(self, reader: ReaderState, at: RankedCursor, limit: int, begun: FeedSlice) -> FeedSlice:
        """Fill the page that has `begun` with posts below the pinned order."""
        start, wanted = self._window.start(at.top), limit + 1 - len(begun.items)
        older = await self._older(reader, start, at.floor, at.shown, wanted)
        items, gaps = [*begun.items, *older.items], begun.gaps | older.gaps
        if len(items) <= limit:
            return FeedSlice(items, at.session_id, gaps=gaps)
        following = at.tail(min(at.floor, items[limit - 1].record.post_id))
        return FeedSlice(items[:limit], at.session_id, items[limit], following, gaps)

    async def _resume(
        self, reader: ReaderState, at: RankedCursor | None
    ) -> tuple[RankedCursor, PinnedOrder, Mapping[int, Source], Gaps]:
        """Return the pinned order of the cursor's session, or a new order with the sources of its candidates.

        When the session is lost, the new order continues it. The shown posts come first, then the others that are older
        than the session.
        """
        if at is not None and reader.pinned is not None:
            return at, reader.pinned, {}, frozenset()
        candidates = await self._candidates.gather(reader)
        newest = max(candidates.sources, default=-1) + 1
        top = at.top if at else max(self._window.top(), newest)  # the clock that mints ids may be ahead of this one
        shown = at.shown if at else frozenset()
        order, gaps = await self._ranked(reader, candidates, top, shown)
        at = RankedCursor(new_session(top), len(shown), order.floor, shown)
        if not candidates.gaps & INCOMPLETE and not gaps:  # otherwise the next page ranks again
            await self._pin(reader, at.session_id, order)
        return at, order, candidates.sources, candidates.gaps | gaps

    async def order(self, reader: ReaderState) -> Sequence[int]:
        """Return the ids of the feed in its present ranked order. Raises UnavailableError."""
        order, _ = await self._ranked(reader, await self._candidates.gather(reader), MAX_ID, frozenset())
        return order.post_ids

    async def _ranked(
        self, reader: ReaderState, candidates: Candidates, top: int, shown: frozenset[int]
    ) -> tuple[PinnedOrder, Gaps]:
        """Rank the candidates below `top`, or sort them newest first while their features are unavailable."""
        waiting = [p for p in candidates.post_ids if p < top and p not in shown]
        pinned = waiting[: max(0, PINNED_MAX - len(shown))]
        floor = candidates.floor if len(pinned) == len(waiting) else waiting[len(pinned)] + 1
        at_ms = min(id_time_ms(top), id_time_ms(self._window.top()))
        try:
            features = await self._posts.ranking_features(pinned)
            visible = {one: candidates.sources[one.post_id] for one in features if source_of(one.author_id, reader)}
            ranked = await self._ranker.rank(visible, at_ms)
        except UnavailableError:
            return PinnedOrder(floor, [*shown, *pinned]), SOURCE_DOWN
        return PinnedOrder(floor, [*shown, *ranked]), frozenset()

    async def _pin(self, reader: ReaderState, session_id: str, order: PinnedOrder) -> None:
        try:
            await self._cache.pin_order(reader.user_id, session_id, order)
        except UnavailableError as error:
            log.warning("order_not_pinned", error=repr(error))

    async def _older(self, reader: ReaderState, after: int, bound: int, shown: frozenset[int], wanted: int) -> _Found:
        """Return up to `wanted` visible posts from the records, newest first.

        Their ids are above `after`, below `bound` and not in `shown`. If a source is unavailable, return what was found
        so far, with the gaps `STALE`.
        """
        found, step = _Found(), wanted
        while len(found.items) < wanted and not found.gaps:
            try:
                older = await self._candidates.older(reader, after, bound, step)
            except UnavailableError:
                return replace(found, gaps=STALE)
            if not older:
                break
            more = await self._visible(reader, [p for p in older if p not in shown], wanted - len(found.items))
            found = _Found([*found.items, *more.items], gaps=more.gaps)
            bound, step = older[-1], max(step, FILL_UP)
        return found

    async def _visible(
        self, reader: ReaderState, post_ids: Sequence[int], wanted: int, sources: Mapping[int, Source] = {}
    ) -> _Found:
        """Return the first `wanted` posts among `post_ids` that the reader may see.

        `sources` says where they come from. While the post service is unavailable, last known records are used.
        """
        found = _Found()
        overall = reader.stored.stamps.records if reader.stored else None
        start, step = 0, wanted
        while start < len(post_ids) and len(found.items) < wanted:
            chunk = post_ids[start : start + step]
            records = await self._records.records(chunk, overall)
            found.gaps = STALE if records.stale else found.gaps
            for i, post_id in enumerate(chunk, start):
                record = records.values.get(post_id)
                source = source_of(record.author_id, reader) if record else None
                if record and source and len(found.items) < wanted:
                    found.items.append(Item(record, sources.get(post_id, source)))
                    found.indexes.append(i)
            gone = [post_id for post_id in chunk if post_id not in records.values]
            if gone and not found.gaps:
                await self._clean(reader.user_id, gone)
            start, step = start + step, max(step, FILL_UP)
        return found

    async def _clean(self, user_id: int, gone: Sequence[int]) -> None:
        """Remove deleted posts from the list. Posts of unfollowed authors are removed by the event of the unfollow."""
        try:
            await self._lists.remove(user_id, gone)
        except UnavailableError as error:
            log.warning("feed_list_not_cleaned", error=repr(error))


def _known(candidates: Candidates) -> PinnedOrder:
    """Return the posts that exist when a chronological session begins.

    A post may become visible long after its id was created. So ids alone do not show which posts are new since then.
    """
    post_ids = candidates.post_ids
    known = post_ids[:PINNED_MAX]
    return PinnedOrder(candidates.floor if len(known) == len(post_ids) else known[-1], known)


def _ids(items: Iterable[Item]) -> frozenset[int]:
    return frozenset(item.record.post_id for item in items)
