"""Reading a feed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from prometheus_client import Counter
from redis.exceptions import RedisError

from libs.common.contracts.base import utc_now
from libs.common.contracts.public import Author, Engagement, Post, PostRecord
from libs.common.ids import MAX_ID
from libs.common.runtime.errors import UnavailableError
from libs.common.runtime.logging import get_logger
from libs.common.runtime.pagination import Cursors, InvalidCursorError
from services.feed.candidates import CandidateSource
from services.feed.domain import Candidates, Followees, Gap, Order, Source, rank, source_of
from services.feed.ports import Cache, Graph, Lists, Marks, Posts
from services.feed.schemas import Coverage, CoverageGap, FeedPage, FeedPost

READS = Counter("feedmill_feed_reads_total", "Feed pages served.", ["order", "cache", "quality"])
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """A page as JSON, and what its headers say."""

    body: bytes
    cache: str
    quality: str


@dataclass(frozen=True, slots=True)
class _Visible:
    record: PostRecord
    source: Source


@dataclass(frozen=True, slots=True)
class _Slice:
    """Visible posts of one page, and where the next one starts (None at the end)."""

    items: Sequence[_Visible]
    next_position: int | None


class FeedReader:
    """Assembles pages. Ranked pages follow an order pinned by a session; chronological ones a moving bound."""

    def __init__(
        self,
        source: CandidateSource,
        graph: Graph,
        posts: Posts,
        marks: Marks,
        lists: Lists,
        cache: Cache,
        cursors: Cursors,
        public_url: str,
    ) -> None:
        self._source = source
        self._graph = graph
        self._posts = posts
        self._marks = marks
        self._lists = lists
        self._cache = cache
        self._cursors = cursors
        self._public_url = public_url

    async def page(self, reader_id: int, order: Order, limit: int, cursor: str | None) -> Served:
        """One page. A cursor goes on in the order that it was made in.

        Raises:
            InvalidCursorError: the cursor is of another reader or list, or its session has ended.
            UnavailableError: the post service is away, or all that knows the followees is.
        """
        if cursor is not None:
            position = self._cursors.decode(_listing(reader_id), cursor) or []
            order = Order(str(position[0]))
            page, quality = await self._continue(reader_id, order, limit, str(position[1]), int(position[2]))
            return self._served(page, order, "miss", quality)
        variant = f"{order}-{limit}"
        stamp = None
        try:
            cached = await self._cache.page(reader_id, variant)
            if cached is not None:
                READS.labels(order, "hit", "normal").inc()
                return Served(_with_age(cached.body, cached.age_s), "hit", "normal")
            stamp = await self._cache.stamp(reader_id)
        except RedisError as error:
            log.warning("page_cache_unreadable", error=repr(error))
        page, quality = await self._first(reader_id, order, limit)
        served = self._served(page, order, "miss", quality)
        if stamp is not None and quality == "normal":
            await self._keep(reader_id, variant, stamp, page, served.body)
        return served

    async def _keep(self, reader_id: int, variant: str, stamp: str, page: FeedPage, body: bytes) -> None:
        try:
            await self._cache.keep_page(reader_id, variant, stamp, [post.post_id for post in page.posts], body)
        except RedisError as error:
            log.warning("page_not_kept", error=repr(error))

    async def _first(self, reader_id: int, order: Order, limit: int) -> tuple[FeedPage, str]:
        followees = await self._source.followees(reader_id)
        candidates = await self._source.gather(reader_id, followees)
        session_id = uuid4().hex
        if order is Order.RANKED and not candidates.degraded:
            visible = await self._visible(reader_id, candidates.post_ids, followees)
            pinned = rank([item.record for item in visible.values()], utc_now())
            try:
                await self._cache.keep_session(session_id, pinned)
            except RedisError as error:
                log.warning("session_not_kept", error=repr(error))
                candidates = Candidates(candidates.post_ids, candidates.complete, degraded=True)
            else:
                items = [visible[post_id] for post_id in pinned[: limit + 1]]
                part = _Slice(items[:limit], limit if len(items) > limit else None)
                return await self._compose(reader_id, order, session_id, part, followees, candidates.degraded)
        part = await self._chronological(reader_id, followees, candidates, MAX_ID, limit)
        return await self._compose(reader_id, Order.CHRONOLOGICAL, session_id, part, followees, candidates.degraded)

    async def _continue(
        self, reader_id: int, order: Order, limit: int, session_id: str, position: int
    ) -> tuple[FeedPage, str]:
        followees = await self._source.followees(reader_id)
        if order is Order.RANKED:
            pinned = await self._session(session_id)
            if pinned is None:
                raise InvalidCursorError("the feed session has ended; start again without a cursor")
            part = await self._pinned(reader_id, followees, pinned, position, limit)
            return await self._compose(reader_id, order, session_id, part, followees, degraded=False)
        candidates = await self._source.gather(reader_id, followees)
        part = await self._chronological(reader_id, followees, candidates, position, limit)
        return await self._compose(reader_id, order, session_id, part, followees, candidates.degraded)

    async def _session(self, session_id: str) -> list[int] | None:
        try:
            return await self._cache.session(session_id)
        except RedisError as error:
            raise UnavailableError("feed sessions can't be read just now") from error

    async def _pinned(
        self, reader_id: int, followees: Followees, pinned: Sequence[int], position: int, limit: int
    ) -> _Slice:
        """Visible posts of a pinned order from `position` on; pages that filtering empties are filled."""
        found: list[tuple[int, _Visible]] = []
        at = position
        while len(found) <= limit and at < len(pinned):
            chunk = pinned[at : at + 2 * limit]
            visible = await self._visible(reader_id, chunk, followees)
            found += [(at + i, visible[post_id]) for i, post_id in enumerate(chunk) if post_id in visible]
            at += len(chunk)
        return _Slice([item for _, item in found[:limit]], found[limit][0] if len(found) > limit else None)

    async def _chronological(
        self, reader_id: int, followees: Followees, candidates: Candidates, bound: int, limit: int
    ) -> _Slice:
        """Visible posts below `bound`, newest first; below the end of the list by pull."""
        found: list[_Visible] = []
        waiting = [post_id for post_id in candidates.post_ids if post_id < bound]
        lowest = min(bound, candidates.post_ids[-1]) if candidates.post_ids else bound
        exhausted = candidates.complete
        while len(found) <= limit:
            if not waiting:
                if exhausted:
                    break
                older = await self._source.older(reader_id, followees, lowest, limit + 1)
                waiting = sorted(set(older), reverse=True)[: limit + 1]
                exhausted = not waiting
                lowest = waiting[-1] if waiting else lowest
                continue
            chunk, waiting = waiting[: 2 * limit], waiting[2 * limit :]
            visible = await self._visible(reader_id, chunk, followees)
            found += [visible[post_id] for post_id in chunk if post_id in visible]
        return _Slice(found[:limit], found[limit - 1].record.post_id if len(found) > limit else None)

    async def _visible(self, reader_id: int, post_ids: Sequence[int], followees: Followees) -> dict[int, _Visible]:
        """What the reader may see of `post_ids`; the others are taken out of the list behind the reader's back."""
        if not post_ids:
            return {}
        records = await self._posts.records(post_ids)
        sources = {post_id: source_of(record, reader_id, followees) for post_id, record in records.items()}
        visible = {p: _Visible(records[p], source) for p, source in sources.items() if source is not None}
        gone = [post_id for post_id in post_ids if post_id not in visible]
        if gone and not followees.stale:
            try:
                await self._lists.remove(reader_id, gone)
            except RedisError as error:
                log.warning("list_not_cleaned", error=repr(error))
        return visible

    async def _compose(
        self, reader_id: int, order: Order, session_id: str, part: _Slice, followees: Followees, degraded: bool
    ) -> tuple[FeedPage, str]:
        post_ids = [item.record.post_id for item in part.items]
        author_ids = list({item.record.author_id for item in part.items})
        (marks, marks_down), authors = await asyncio.gather(
            self._marks_of(reader_id, part.items, post_ids),
            self._graph.authors(author_ids) if author_ids else _nobody(),
        )
        posts = [
            self._post(item, authors[item.record.author_id], marks.get(item.record.post_id, Engagement()))
            for item in part.items
            if item.record.author_id in authors
        ]
        down = degraded or marks_down or followees.stale
        cursor = None
        if part.next_position is not None:
            cursor = self._cursors.encode(_listing(reader_id), [order, session_id, part.next_position])
        page = FeedPage(
            posts=posts,
            next_cursor=cursor,
            has_more=cursor is not None,
            feed_session_id=session_id,
            cached=False,
            cache_age_seconds=0,
            coverage=Coverage(complete=not down, gaps=[CoverageGap(reason=Gap.SOURCE_DOWN)] if down else []),
        )
        return page, "degraded" if down else "normal"

    async def _marks_of(
        self, reader_id: int, items: Sequence[_Visible], post_ids: Sequence[int]
    ) -> tuple[dict[int, Engagement], bool]:
        """The marks, or the counts as the posts know them, and whether the interaction service is down."""
        try:
            return await self._marks.of(reader_id, post_ids), False
        except UnavailableError:
            return {i.record.post_id: Engagement(**i.record.counts.model_dump()) for i in items}, True

    def _post(self, item: _Visible, author: Author, engagement: Engagement) -> FeedPost:
        post = Post.of(item.record, author, engagement, self._public_url)
        return FeedPost.model_construct(**dict(post), source=item.source)

    @staticmethod
    def _served(page: FeedPage, order: Order, cache: str, quality: str) -> Served:
        READS.labels(order, cache, quality).inc()
        return Served(page.model_dump_json().encode(), cache, quality)


async def _nobody() -> dict[int, Author]:
    return {}


def _listing(reader_id: int) -> str:
    return f"feed:{reader_id}"


def _with_age(body: bytes, age_s: int) -> bytes:
    """The page as JSON with its age written in, without parsing it; `cached` stands once in a page, after the posts."""
    head, _, tail = body.rpartition(b'"cached":false,"cache_age_seconds":0')
    return b'%s"cached":true,"cache_age_seconds":%d%s' % (head, age_s, tail)
