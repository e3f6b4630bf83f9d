"""Reading a feed: pages, what is new since, and where the reader is."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import Counter
from redis.exceptions import RedisError

from libs.common.core.errors import NotFoundError, UnavailableError
from libs.common.core.fairness import CallerShares, FairSemaphore
from libs.common.core.logging import get_logger
from libs.common.stores.rate import RateCheck
from libs.common.web.paging import Cursors
from libs.contracts.public import Author, Engagement, Post
from services.feed.domain.cursor import ChronologicalCursor, RankedCursor, parse_cursor, session_top
from services.feed.domain.feed import CoverageGap, DeliveryPace, Order, Source, source_of
from services.feed.ports import Cache, Graph, Load, Marks, PageDependencies, Position, Posts, last_known
from services.feed.service.candidates import SOURCE_DOWN, STALE, CandidateGatherer
from services.feed.service.page import Coverage, FeedPage, FeedPost
from services.feed.service.paginator import FeedPaginator, FeedSlice, Item, Reader
from services.feed.service.single_flight import SingleFlight

READS = Counter("feedmill_feed_reads_total", "Feed pages served.", ["order", "cache", "quality"])
READERS_REMEMBERED = 10_000  # for the oracle to choose from, and to be warmed
RANKED_AT_ONCE = 32  # some 10 ms of CPU each, and waiting for stores
RANKING_QUEUE = 64  # under a second; who comes after these is refused at once
RANKING_SHARES = CallerShares(account=4, address=8)
_WITHOUT_GAPS = {pace: Coverage.of(frozenset(), pace).model_dump_json().encode() for pace in DeliveryPace}
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """A page as JSON, and what its headers say."""

    body: bytes
    cache: str
    quality: str


@dataclass(frozen=True, slots=True)
class _Made:
    """An assembled page; `relied_on` are the posts and authors without which it is not true any more."""

    body: bytes
    cache: str
    quality: str
    relied_on: set[int]


@dataclass(frozen=True, slots=True)
class Updates:
    """How many posts came since a session began, and the newest of them."""

    count: int
    newest_id: int | None


class FeedReader:
    """Use cases of a reader."""

    def __init__(
        self,
        paginator: FeedPaginator,
        source: CandidateGatherer,
        graph: Graph,
        posts: Posts,
        marks: Marks,
        cache: Cache,
        load: Load,
        cursors: Cursors,
        public_url: str,
        ranking: FairSemaphore,
    ) -> None:
        self._paginator = paginator
        self._source = source
        self._graph = graph
        self._posts = posts
        self._marks = marks
        self._cache = cache
        self._load = load
        self._cursors = cursors
        self._public_url = public_url
        self._ranking = ranking
        self._single_flight = SingleFlight[tuple[int, str, str], _Made]()
        self._served_to: deque[int] = deque(maxlen=READERS_REMEMBERED)

    def recent_readers(self) -> list[int]:
        """To whom this process served first pages of late, each once."""
        return list(set(self._served_to))

    async def page(self, user_id: int, order: Order, limit: int, cursor: str | None, *, fresh: bool = False) -> Served:
        """One page; a cursor goes on in its own order, `fresh` passes kept pages over.

        Raises:
            InvalidCursorError: the cursor is not the reader's.
            UnavailableError: a source without which there is no page is away.
            OverloadedError, TooManyInProgressError: too many pages are being assembled, of all readers or this one.
        """
        fields = self._cursors.decode(_listing(user_id), cursor)
        if fields is None and not fresh:
            return await self.kept(user_id, order, limit) or await self._first(user_id, order, limit)
        at = parse_cursor(fields) if fields else None
        if at is not None:
            order = Order.RANKED if isinstance(at, RankedCursor) else Order.CHRONOLOGICAL
        return self._served(await self._assemble(await self._reader(user_id), order, at, limit), order)

    async def updates(self, user_id: int, session_id: str) -> Updates:
        """Posts of others that the session does not hold. Raises NotFoundError for what is no session."""
        top = session_top(session_id)
        if top is None:
            raise NotFoundError
        followees = await self._source.followees(user_id)
        async with self._ranking.enter():
            candidates = await self._source.gather(user_id, followees)
        try:
            session = await self._cache.session(user_id, session_id)
        except RedisError:
            session = None
        if session is None:
            fresh = [p for p in candidates.post_ids if p >= top]
        else:
            held = set(session.order)
            fresh = [p for p in candidates.post_ids if p >= session.floor and p not in held]
        others = (Source.PUSHED, Source.PULLED)
        ranking_features = await self._posts.ranking_features(fresh)
        new = [t.post_id for t in ranking_features if source_of(t.author_id, user_id, followees) in others]
        return Updates(len(new), max(new, default=None))

    async def save_position(self, user_id: int, position: Position) -> None:
        """Tell the other devices where one is. Raises UnavailableError."""
        try:
            await self._cache.save_position(user_id, position)
        except RedisError as error:
            raise UnavailableError("The feed position cannot be saved at the moment.") from error

    async def position(self, user_id: int) -> Position:
        """Where one was last, on any device. Raises NotFoundError, UnavailableError."""
        try:
            position = await self._cache.position(user_id)
        except RedisError as error:
            raise UnavailableError("The feed position is temporarily unavailable.") from error
        if position is None:
            raise NotFoundError
        return position

    async def kept(self, user_id: int, order: Order, limit: int, charge: RateCheck | None = None) -> Served | None:
        """The first page, if it is kept and true, and may be read: the request is counted on the way."""
        try:
            cached = await self._cache.page(user_id, _variant(order, limit), charge)
        except RedisError as error:
            log.warning("page_cache_unreadable", error=repr(error))
            return None
        if cached is None or (charge is not None and not charge.admitted):
            return None
        self._served_to.append(user_id)
        READS.labels(order, "hit", "normal").inc()
        return Served(_as_of_now(cached.body, cached.age_s, self._load.pace), "hit", "normal")

    async def _first(self, user_id: int, order: Order, limit: int) -> Served:
        """Assembled once, however many ask meanwhile, and kept. What follows an act is not taken from before it."""
        try:
            stamp = await self._cache.stamp(user_id)
        except RedisError as error:
            log.warning("page_cache_unreadable", error=repr(error))
            return self._served(await self._assemble(await self._reader(user_id), order, None, limit), order)
        made = await self._single_flight.join(
            (user_id, _variant(order, limit), stamp), lambda: self._make(user_id, order, limit, stamp)
        )
        return self._served(made, order)

    async def _make(self, user_id: int, order: Order, limit: int, stamp: str) -> _Made:
        self._served_to.append(user_id)
        reader, seen = await self._reader(user_id), None
        try:
            seen = await self._cache.pulled_seen(reader.followees.pull)
        except RedisError as error:
            log.warning("page_not_kept", error=repr(error))
        made = await self._assemble(reader, order, None, limit)
        if seen is not None and made.quality == "normal":
            dependencies = PageDependencies(made.relied_on, reader.followees.pull, seen)
            await self._keep(user_id, _variant(order, limit), stamp, dependencies, made.body)
        return made

    async def _keep(self, user_id: int, variant: str, stamp: str, dependencies: PageDependencies, body: bytes) -> None:
        try:
            await self._cache.cache_page(user_id, variant, stamp, dependencies, body)
        except RedisError as error:
            log.warning("page_not_kept", error=repr(error))

    async def _reader(self, user_id: int) -> Reader:
        return Reader(user_id, await self._source.followees(user_id))

    async def _assemble(
        self, reader: Reader, order: Order, at: ChronologicalCursor | RankedCursor | None, limit: int
    ) -> _Made:
        async with self._ranking.enter():
            return await self._assembled(reader, order, at, limit)

    async def _assembled(
        self, reader: Reader, order: Order, at: ChronologicalCursor | RankedCursor | None, limit: int
    ) -> _Made:
        if isinstance(at, ChronologicalCursor) or (at is None and order is Order.CHRONOLOGICAL):
            part = await self._paginator.chronological(reader, at, limit)
        else:
            part = await self._paginator.ranked(reader, at, limit)
        (marks, marks_gaps), (authors, author_gaps) = await asyncio.gather(
            self._marks_of(reader.user_id, part.items), self._authors_of(part.items)
        )
        gaps = part.gaps | marks_gaps | author_gaps | (STALE if reader.followees.stale else frozenset())
        posts = [
            self._post(item, authors[item.record.author_id], marks.get(item.record.post_id, Engagement()))
            for item in part.items
            if item.record.author_id in authors
        ]
        if not posts and (part.gaps | author_gaps) & STALE:
            raise UnavailableError("The feed is temporarily unavailable.")
        page = self._page(reader.user_id, part, posts, gaps)
        relied_on = [item.record for item in (*part.items, part.after) if item]
        return _Made(
            body=page.model_dump_json().encode(),
            cache="stale" if gaps & STALE else "miss",
            quality="degraded" if gaps else "normal",
            relied_on={i for record in relied_on for i in (record.post_id, record.author_id)},
        )

    def _page(self, user_id: int, part: FeedSlice, posts: list[FeedPost], gaps: frozenset[CoverageGap]) -> FeedPage:
        cursor = None
        if part.following is not None:
            cursor = self._cursors.encode(_listing(user_id), part.following.fields())
        return FeedPage(
            posts=posts,
            next_cursor=cursor,
            has_more=cursor is not None,
            feed_session_id=part.session_id,
            cached=False,
            cache_age_seconds=0,
            coverage=Coverage.of(gaps, self._load.pace),
        )

    async def _authors_of(self, items: Sequence[Item]) -> tuple[dict[int, Author], frozenset[CoverageGap]]:
        """Their profiles; those last known while the user service is down."""
        author_ids = list({item.record.author_id for item in items})
        try:
            return await self._graph.authors(author_ids) if author_ids else {}, frozenset()
        except UnavailableError as error:
            return last_known(error), STALE

    async def _marks_of(
        self, user_id: int, items: Sequence[Item]
    ) -> tuple[dict[int, Engagement], frozenset[CoverageGap]]:
        """The marks; the counts as the posts know them while the interaction service is down."""
        try:
            return await self._marks.of(user_id, [item.record.post_id for item in items]), frozenset()
        except UnavailableError:
            return {i.record.post_id: Engagement(**i.record.counts.model_dump()) for i in items}, SOURCE_DOWN

    def _post(self, item: Item, author: Author, engagement: Engagement) -> FeedPost:
        post = Post.of(item.record, author, engagement, self._public_url)
        return FeedPost.model_construct(**dict(post), source=item.source)

    @staticmethod
    def _served(made: _Made, order: Order) -> Served:
        READS.labels(order, made.cache, made.quality).inc()
        return Served(made.body, made.cache, made.quality)


def _variant(order: Order, limit: int) -> str:
    return f"{order}-{limit}"


def _listing(user_id: int) -> str:
    return f"feed:{user_id}"


def _as_of_now(body: bytes, age_s: int, pace: DeliveryPace) -> bytes:
    """The page as JSON with its age and the present coverage, without parsing it. Pages with gaps are not kept."""
    head, _, _ = body.rpartition(b'"cached":false,')
    return b'%s"cached":true,"cache_age_seconds":%d,"coverage":%s}' % (head, age_s, _WITHOUT_GAPS[pace])
