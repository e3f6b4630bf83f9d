"""Ways through a feed: each slice shows what is eligible exactly once, whatever changes between two reads.

A chronological walk goes down by id. A ranked one follows the order that its session pinned, then goes down below it;
a parse_cursor holds what is needed to go on without the session.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from redis.exceptions import RedisError

from libs.common.core.errors import UnavailableError
from libs.common.core.ids import MAX_ID, id_time_ms
from libs.common.core.logging import get_logger
from libs.contracts.public import PostRecord
from services.feed.domain.cursor import TAIL, ChronologicalCursor, RankedCursor, new_session
from services.feed.domain.feed import Candidates, CoverageGap, Followees, GapReason, Source, source_of
from services.feed.domain.ranking import rank
from services.feed.ports import Cache, FeedListStore, Posts, Session, last_known
from services.feed.service.candidates import SOURCE_DOWN, STALE, CandidateGatherer

PINNED_MAX = 600  # posts of one order, whose ids fit into a cursor; the rest is shown after them
FILL_UP = 100  # posts looked at together when a first look found too many that are hidden
INCOMPLETE = STALE | {CoverageGap(GapReason.REBUILDING)}
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Item:
    """A post that the reader may see."""

    record: PostRecord
    source: Source


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose feed it is."""

    user_id: int
    followees: Followees


@dataclass(frozen=True, slots=True)
class FeedSlice:
    """Posts of one page, where the next page begins (None at the end), and what may be missing.

    `after` is the first item of the next page: only while it is there may the page promise one.
    """

    items: Sequence[Item]
    session_id: str
    after: Item | None
    following: ChronologicalCursor | RankedCursor | None
    gaps: frozenset[CoverageGap] = frozenset()


class FeedPaginator:
    """Both orders."""

    def __init__(self, source: CandidateGatherer, posts: Posts, lists: FeedListStore, cache: Cache) -> None:
        self._source = source
        self._posts = posts
        self._lists = lists
        self._cache = cache

    async def chronological(self, reader: Reader, at: ChronologicalCursor | None, limit: int) -> FeedSlice:
        """Newest first, to the first post of all."""
        candidates = await self._source.gather(reader.user_id, reader.followees)
        if at is None:
            at = ChronologicalCursor(new_session(self._source.top()), MAX_ID)
            if not candidates.gaps & INCOMPLETE:
                await self._pin_session(reader, at.session_id, _known(candidates))
        found, away = await self._visible(reader, [p for p in candidates.post_ids if p < at.bound], limit + 1)
        items, gaps = [item for _, item in found], candidates.gaps | away
        if len(items) <= limit and not gaps & INCOMPLETE:
            floor = min(at.bound, candidates.floor)
            older, away = await self._below(reader, 0, floor, frozenset(), limit + 1 - len(items))
            items, gaps = items + older, gaps | away
        if len(items) <= limit:
            return FeedSlice(items, at.session_id, None, None, gaps)
        following = ChronologicalCursor(at.session_id, items[limit - 1].record.post_id)
        return FeedSlice(items[:limit], at.session_id, items[limit], following, gaps)

    async def ranked(self, reader: Reader, at: RankedCursor | None, limit: int) -> FeedSlice:
        """In the pinned order, then newest first to the end of the window."""
        gaps: frozenset[CoverageGap] = frozenset()
        items: list[Item] = []
        if at is None or at.position != TAIL:
            session = await self._session(reader, at)
            if at is None or session is None:
                at, session, gaps = await self._pin(reader, at)
            found, away = await self._visible(reader, session.order[at.position :], limit + 1)
            items, gaps = [item for _, item in found], gaps | away
            if len(items) > limit:
                following = replace(at, position=at.position + found[limit][0], shown=at.shown | _ids(items[:limit]))
                return FeedSlice(items[:limit], at.session_id, items[limit], following, gaps)
            if gaps & INCOMPLETE:  # what is missing lies above the floor: the page says so, and ends
                return FeedSlice(items, at.session_id, None, None, gaps)
            at = at.tail(session.floor)
        start = self._source.window_start(at.top)
        older, away = await self._below(reader, start, at.floor, at.shown, limit + 1 - len(items))
        items, gaps = items + older, gaps | away
        if len(items) <= limit:
            return FeedSlice(items, at.session_id, None, None, gaps)
        following = at.tail(min(at.floor, items[limit - 1].record.post_id))
        return FeedSlice(items[:limit], at.session_id, items[limit], following, gaps)

    async def _session(self, reader: Reader, at: RankedCursor | None) -> Session | None:
        if at is None:
            return None
        try:
            return await self._cache.session(reader.user_id, at.session_id)
        except RedisError as error:
            log.warning("session_unreadable", error=repr(error))
            return None

    async def _pin_session(self, reader: Reader, session_id: str, session: Session) -> None:
        try:
            await self._cache.pin_session(reader.user_id, session_id, session)
        except RedisError as error:
            log.warning("session_not_kept", error=repr(error))

    async def _pin(
        self, reader: Reader, at: RankedCursor | None
    ) -> tuple[RankedCursor, Session, frozenset[CoverageGap]]:
        """A new order. After a lost session: of what was there then and was not shown, behind what was shown."""
        candidates = await self._source.gather(reader.user_id, reader.followees)
        newest = candidates.post_ids[0] + 1 if candidates.post_ids else 0
        top = at.top if at else max(self._source.top(), newest)  # the minting clock may be ahead of this one
        shown = at.shown if at else frozenset()
        session, away = await self._ranked(reader, candidates, top, shown)
        at = RankedCursor(new_session(top), len(shown), session.floor, shown)
        if not candidates.gaps & INCOMPLETE and not away:  # else the next page pins what is there by then
            await self._pin_session(reader, at.session_id, session)
        return at, session, candidates.gaps | away

    async def order(self, reader: Reader) -> Session:
        """How the feed would be ranked now."""
        candidates = await self._source.gather(reader.user_id, reader.followees)
        session, _ = await self._ranked(reader, candidates, MAX_ID, frozenset())
        return session

    async def _ranked(
        self, reader: Reader, candidates: Candidates, top: int, shown: frozenset[int]
    ) -> tuple[Session, frozenset[CoverageGap]]:
        """The order; newest first while nobody says what it depends on."""
        waiting = [p for p in candidates.post_ids if p < top and p not in shown]
        pinned = waiting[: max(0, PINNED_MAX - len(shown))]
        floor = candidates.floor if len(pinned) == len(waiting) else waiting[len(pinned)] + 1
        try:
            ranking_features = await self._posts.ranking_features(pinned)
        except UnavailableError:
            return Session(floor, [*shown, *pinned]), SOURCE_DOWN
        sources = {
            features: source_of(features.author_id, reader.user_id, reader.followees) for features in ranking_features
        }
        at_ms = min(id_time_ms(top), id_time_ms(self._source.top()))
        ranked = rank({features: source for features, source in sources.items() if source}, at_ms)
        return Session(floor, [*shown, *ranked]), frozenset()

    async def _below(
        self, reader: Reader, after: int, bound: int, shown: frozenset[int], wanted: int
    ) -> tuple[list[Item], frozenset[CoverageGap]]:
        """Up to `wanted` posts under `bound`, newest first, from the records; as far as these can be had."""
        items, step, gaps = list[Item](), wanted, frozenset[CoverageGap]()
        while len(items) < wanted and not gaps:
            try:
                older = await self._source.older(reader.user_id, reader.followees, after, bound, step)
            except UnavailableError:
                return items, STALE
            if not older:
                break
            found, gaps = await self._visible(reader, [p for p in older if p not in shown], wanted - len(items))
            items += [item for _, item in found]
            bound, step = older[-1], max(step, FILL_UP)
        return items, gaps

    async def _visible(
        self, reader: Reader, post_ids: Sequence[int], wanted: int
    ) -> tuple[list[tuple[int, Item]], frozenset[CoverageGap]]:
        """The first `wanted` posts among `post_ids` that the reader may see, each with its index.

        While the post service is away, those of them that are known.
        """
        found: list[tuple[int, Item]] = []
        start, step, gaps = 0, wanted, frozenset[CoverageGap]()
        while start < len(post_ids) and len(found) < wanted:
            chunk = post_ids[start : start + step]
            try:
                records = await self._posts.records(chunk)
            except UnavailableError as error:
                records, gaps = last_known(error), STALE
            for i, post_id in enumerate(chunk, start):
                record = records.get(post_id)
                source = source_of(record.author_id, reader.user_id, reader.followees) if record else None
                if record and source:
                    found.append((i, Item(record, source)))
            gone = [post_id for post_id in chunk if post_id not in records]
            if gone and not gaps:
                await self._clean(reader.user_id, gone)
            start, step = start + step, max(step, FILL_UP)
        return found[:wanted], gaps

    async def _clean(self, user_id: int, gone: Sequence[int]) -> None:
        """Deleted posts never come back; those of somebody not followed any more are the business of the event."""
        try:
            await self._lists.remove(user_id, gone)
        except RedisError as error:
            log.warning("list_not_cleaned", error=repr(error))


def _known(candidates: Candidates) -> Session:
    """What a chronological session began with. Ids are older than the moment at which their post can be seen, so only
    this tells which posts have come since."""
    known = candidates.post_ids[:PINNED_MAX]
    return Session(candidates.floor if len(known) == len(candidates.post_ids) else known[-1], known)


def _ids(items: Iterable[Item]) -> frozenset[int]:
    return frozenset(item.record.post_id for item in items)
