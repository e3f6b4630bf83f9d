"""Reading a feed: pages, the number of new posts, and the reader's position."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from libs.common.core.errors import NotFoundError, UnavailableError
from libs.common.core.fairness import CallerShares, FairSemaphore
from libs.common.core.logging import get_logger
from libs.common.stores.rate import RateCheck
from libs.common.web.paging import Cursors
from libs.contracts.public import Engagement
from libs.telemetry.caches import count_reads
from libs.telemetry.metrics import counter, exemplar, histogram
from services.feed.domain.cursor import ChronologicalCursor, RankedCursor, parse_cursor, session_top
from services.feed.domain.feed import CoverageGap, DeliveryPace, Order, Source, source_of
from services.feed.ports import (
    AuthorCache,
    Cache,
    CachedPage,
    DeliveryPaceSource,
    EngagementSource,
    PageDependencies,
    Position,
    Posts,
    ReaderState,
)
from services.feed.service.candidates import CandidateGatherer
from services.feed.service.followees import Readers
from services.feed.service.page import Coverage, ShownPost, content_json, page_json
from services.feed.service.paginator import FeedPaginator, FeedSlice, Item
from services.feed.service.returning import FirstPage
from services.feed.service.single_flight import SingleFlight
from services.feed.service.sources import SOURCE_DOWN, STALE

READS = counter("feedmill_feed_reads_total")
PAGE_SECONDS = histogram("feedmill_feed_page_seconds")
COUNTS_S = 3  # whole seconds, so counts of a cached page are less than 4 s old when it is sent
RANKED_AT_ONCE = 32  # each uses about 10 ms of CPU, and waits for stores
RANKING_QUEUE = 64  # under a second of work; later requests are refused at once
RANKING_SHARES = CallerShares(account=4, address=8)
_NO_GAPS = {pace: Coverage.of(frozenset(), pace).model_dump_json().encode() for pace in DeliveryPace}
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """A page as JSON, and the values of its headers."""

    body: bytes
    cache: str
    quality: str


@dataclass(frozen=True, slots=True)
class Lookup:
    """The answer of the page cache: a page and its age, or the stamp for caching a new page.

    Without Redis it is neither.
    """

    served: Served | None = None
    stamp: str | None = None
    age_s: int = 0


@dataclass(frozen=True, slots=True)
class _Made:
    """An assembled page; `relied_on` are the posts and authors whose change makes it invalid."""

    content: bytes
    coverage: bytes
    cache: str
    quality: str
    relied_on: set[int]


@dataclass(frozen=True, slots=True)
class Updates:
    """The number of posts that are new since a session began, and the newest of them."""

    count: int
    newest_id: int | None


class FeedReader:
    """Serves pages, new posts and positions to readers."""

    def __init__(
        self,
        paginator: FeedPaginator,
        readers: Readers,
        candidates: CandidateGatherer,
        posts: Posts,
        authors: AuthorCache,
        engagement: EngagementSource,
        cache: Cache,
        delivery: DeliveryPaceSource,
        cursors: Cursors,
        public_url: str,
        ranking: FairSemaphore,
    ) -> None:
        self._paginator = paginator
        self._readers = readers
        self._candidates = candidates
        self._posts = posts
        self._authors = authors
        self._engagement = engagement
        self._cache = cache
        self._delivery = delivery
        self._cursors = cursors
        self._public_url = public_url
        self._ranking = ranking
        self._assembling = SingleFlight[tuple[int, str, str], _Made]()
        self._recounting = SingleFlight[tuple[int, str], bytes]()

    async def page(
        self,
        user_id: int,
        order: Order,
        limit: int,
        cursor: str | None,
        *,
        fresh: bool = False,
        lookup: Lookup | None = None,
    ) -> Served:
        """Return one page. A cursor continues in its own order.

        Args:
            user_id: the reader.
            order: the order of a first page.
            limit: the number of posts.
            cursor: the cursor of the page before, or None for a first page.
            fresh: ignores cached pages.
            lookup: the result of `lookup` for this request, if it was called before.

        Raises:
            InvalidCursorError: the cursor is not the reader's.
            UnavailableError: nothing can be shown without a source that is unavailable.
            OverloadedError, TooManyInProgressError: too many pages are being assembled, in all or for this caller.
        """
        fields = self._cursors.decode(_listing(user_id), cursor)
        if fields is None and not fresh:
            found = lookup or await self.lookup(user_id, order, limit)
            return found.served or await self._first(user_id, order, limit, found.stamp)
        started, at = time.perf_counter(), (parse_cursor(fields) if fields else None)
        if at is not None:
            order = Order.RANKED if isinstance(at, RankedCursor) else Order.CHRONOLOGICAL
        reader = await self._readers.get(user_id, at.session_id if at else None)
        return self._served(await self._assemble(reader, order, at, limit), order, started)

    async def lookup(self, user_id: int, order: Order, limit: int, check: RateCheck | None = None) -> Lookup:
        """Look for a valid cached first page; the same round trip counts the request. Never raises."""
        started = time.perf_counter()
        try:
            found = await self._cache.lookup(user_id, _variant(order, limit), check)
        except UnavailableError as error:
            log.warning("page_cache_unreadable", error=repr(error))
            return Lookup()
        if check is not None and not check.admitted:
            return Lookup(stamp=found.stamp)
        if found.page is None:
            count_reads("feed_page", hits=0, misses=1)
            return Lookup(stamp=found.stamp)
        count_reads("feed_page", hits=1, misses=0)
        content, page = found.page.body, found.page
        if page.counts_age_s > COUNTS_S:
            key = user_id, _variant(order, limit)
            content = await self._recounting.run(key, lambda: self._recounted(*key, page))
        body = page_json(content, _NO_GAPS[self._delivery.pace], page.age_s)  # pages with gaps are not cached
        return Lookup(self._measured(Served(body, "hit", "normal"), order, started), age_s=page.age_s)

    async def _recounted(self, user_id: int, variant: str, page: CachedPage) -> bytes:
        """Return the content with present counts, and cache it, or the old content while they are unavailable."""
        content = orjson.loads(page.body)
        try:
            found = await self._engagement.of(user_id, [int(post["post_id"]) for post in content["posts"]])
            for post in content["posts"]:
                post["engagement"] = found[int(post["post_id"])].__dict__
            body = orjson.dumps(content)
            await self._cache.recount_page(user_id, variant, page, body)
        except UnavailableError as error:
            log.warning("page_not_recounted", error=repr(error))
            return page.body
        return body

    async def updates(self, user_id: int, session_id: str) -> Updates:
        """Count posts of others that are new since the session began.

        Raises:
            NotFoundError: the session id is not well formed.
            UnavailableError, OverloadedError, TooManyInProgressError: see `page`.
        """
        top = session_top(session_id)
        if top is None:
            raise NotFoundError
        reader = await self._readers.get(user_id, session_id)
        async with self._ranking.enter():
            candidates = await self._candidates.gather(reader)
        pinned = reader.pinned
        if pinned is None:
            unseen = [p for p in candidates.sources if p >= top]
        else:
            unseen = [p for p in candidates.sources.keys() - set(pinned.post_ids) if p >= pinned.floor]
        features = await self._posts.ranking_features(unseen)
        new = [one.post_id for one in features if source_of(one.author_id, reader) not in (None, Source.OWN)]
        return Updates(len(new), max(new, default=None))

    async def save_position(self, user_id: int, position: Position) -> None:
        """Save the position for the reader's other devices. Raises UnavailableError."""
        await self._cache.save_position(user_id, position)

    async def position(self, user_id: int) -> Position:
        """Return the last position on any device. Raises NotFoundError, UnavailableError."""
        position = await self._cache.position(user_id)
        if position is None:
            raise NotFoundError
        return position

    async def _first(self, user_id: int, order: Order, limit: int, stamp: str | None) -> Served:
        """Return the first page. Concurrent requests that saw the same stamp share one assembly.

        The page is cached if it is not degraded. Without a stamp each request assembles its own page.
        """
        started = time.perf_counter()
        if stamp is None:
            made = await self._assemble(await self._readers.get(user_id), order, None, limit)
        else:
            made = await self._shared(user_id, order, limit, stamp)
        return self._served(made, order, started)

    async def warm(self, page: FirstPage, renew_s: float) -> int:
        """Assemble and cache a page again, unless the cached copy is younger than `renew_s`. Return its age in seconds.

        Raises the errors of `page`.
        """
        found = await self._cache.lookup(page.user_id, _variant(page.order, page.limit))
        if found.page and found.page.age_s < renew_s:
            return found.page.age_s
        await self._shared(*page, found.stamp)
        return 0

    async def _shared(self, user_id: int, order: Order, limit: int, stamp: str) -> _Made:
        key = user_id, _variant(order, limit), stamp
        return await self._assembling.run(key, lambda: self._make(user_id, order, limit, stamp))

    async def _make(self, user_id: int, order: Order, limit: int, stamp: str) -> _Made:
        reader, seen = await self._readers.get(user_id), None
        pulled = reader.followees.pull
        try:
            seen = await self._cache.pulled_seen(pulled)
        except UnavailableError as error:
            log.warning("page_not_cached", error=repr(error))
        made = await self._assemble(reader, order, None, limit)
        if seen is not None and made.quality == "normal":
            dependencies = PageDependencies(made.relied_on, pulled, seen)
            try:
                await self._cache.cache_page(user_id, _variant(order, limit), stamp, dependencies, made.content)
            except UnavailableError as error:
                log.warning("page_not_cached", error=repr(error))
        return made

    async def _assemble(
        self, reader: ReaderState, order: Order, at: ChronologicalCursor | RankedCursor | None, limit: int
    ) -> _Made:
        async with self._ranking.enter():
            if isinstance(at, ChronologicalCursor) or (at is None and order is Order.CHRONOLOGICAL):
                part = await self._paginator.chronological(reader, at, limit)
            else:
                part = await self._paginator.ranked(reader, at, limit)
            return await self._with_authors(reader, part)

    async def _with_authors(self, reader: ReaderState, part: FeedSlice) -> _Made:
        author_ids = list({item.record.author_id for item in part.items})
        (marks, gaps), authors = await asyncio.gather(
            self._engagement_of(reader.user_id, part.items),
            self._authors.authors(author_ids, reader.stored.stamps.profiles if reader.stored else None),
        )
        if authors.stale or reader.followees.stale:
            gaps |= STALE
        gaps |= part.gaps
        posts = [
            ShownPost(
                item.record,
                authors.values[item.record.author_id],
                marks.get(item.record.post_id, Engagement()),
                item.source,
            )
            for item in part.items
            if item.record.author_id in authors.values
        ]
        if not posts and (authors.stale or part.gaps & STALE):
            raise UnavailableError("The feed is temporarily unavailable.")
        relied_on = [item.record for item in (*part.items, part.lookahead) if item]
        return _Made(
            content=self._content(reader.user_id, part, posts),
            coverage=Coverage.of(gaps, self._delivery.pace).model_dump_json().encode(),
            cache="stale" if gaps & STALE else "miss",
            quality="degraded" if gaps else "normal",
            relied_on={i for record in relied_on for i in (record.post_id, record.author_id)},
        )

    def _content(self, user_id: int, part: FeedSlice, posts: Sequence[ShownPost]) -> bytes:
        following = part.next_cursor
        cursor = self._cursors.encode(_listing(user_id), following.fields()) if following else None
        return content_json(posts, cursor, part.session_id, self._public_url)

    async def _engagement_of(
        self, user_id: int, items: Sequence[Item]
    ) -> tuple[dict[int, Engagement], frozenset[CoverageGap]]:
        """Return counts and the reader's marks, or only the post service's counts without the interaction service."""
        try:
            return await self._engagement.of(user_id, [item.record.post_id for item in items]), frozenset()
        except UnavailableError:
            return {i.record.post_id: Engagement(**i.record.counts.model_dump()) for i in items}, SOURCE_DOWN

    def _served(self, made: _Made, order: Order, started_s: float) -> Served:
        served = Served(page_json(made.content, made.coverage), made.cache, made.quality)
        return self._measured(served, order, started_s)

    @staticmethod
    def _measured(served: Served, order: Order, started_s: float) -> Served:
        """Count the page, with the time since `started_s` (`time.perf_counter`)."""
        READS.labels(order, served.cache, served.quality).inc()
        PAGE_SECONDS.labels(served.cache).observe(time.perf_counter() - started_s, exemplar())
        return served


def _variant(order: Order, limit: int) -> str:
    """Name the page in the cache. The 3 is the version of the stored value."""
    return f"3-{order}-{limit}"


def _listing(user_id: int) -> str:
    return f"feed:{user_id}"
