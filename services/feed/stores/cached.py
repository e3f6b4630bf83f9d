"""What the feed service keeps in memory of the records of others, true as long as the marks that it saw."""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import TTLCache
from redis.exceptions import RedisError

from libs.common.core.errors import UnavailableError
from libs.contracts.internal.post import RankingFeatures
from libs.contracts.public import Author, PostRecord
from libs.invalidation import LAST_KNOWN_S
from services.feed.domain.feed import Followees, Relation
from services.feed.ports import Graph, LastKnownError, Posts, Stamps

CACHED_S = 60  # also the longest that a mark may be missed which Redis did not take; far below the life of marks
CACHED_MAX = 20_000  # records, some 60 MB
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    cached_at: float
    mark: bytes
    value: T


class StampedCache(Generic[T]):
    """A cache by id. Marks are read before what they vouch for, so that nothing newer is ever taken for older."""

    def __init__(self, stamps: Stamps, key: Callable[[int], str], clock: Callable[[], float]) -> None:
        self._stamps = stamps
        self._key = key
        self._clock = clock
        self._kept: TTLCache[int, _Entry[T]] = TTLCache(CACHED_MAX, LAST_KNOWN_S, clock)

    async def get(self, ids: Sequence[int], fetch: Callable[[list[int]], Awaitable[dict[int, T]]]) -> dict[int, T]:
        """The values of those that there are; without Redis nothing is kept.

        Raises:
            LastKnownError: the owner is away; what was kept longer ago, and did not change since, is in the error.
        """
        try:
            marks = dict(zip(ids, await self._stamps.read([self._key(one) for one in ids]), strict=True))
        except RedisError:
            return await fetch(list(ids))
        now = self._clock()
        kept = {i: entry for i in marks if (entry := self._kept.get(i))}
        known = {i: e.value for i, e in kept.items() if e.mark == marks[i] and now - e.cached_at < CACHED_S}
        missing = [i for i in marks if i not in known]
        try:
            fetched = await fetch(missing) if missing else {}
        except UnavailableError as error:
            raise LastKnownError(known | await self._unchanged({i: kept[i] for i in missing if i in kept})) from error
        for i, value in fetched.items():
            self._kept[i] = _Entry(now, marks[i], value)
        for i in missing:
            if i not in fetched:
                self._kept.pop(i, None)
        return known | fetched

    async def _unchanged(self, entries: dict[int, _Entry[T]]) -> dict[int, T]:
        """The values of those that have no mark of a change, in the Redis that would hold it."""
        try:
            generation = await self._stamps.generation()
            changed = await self._stamps.exist([self._stamps.changed_lately(i) for i in entries])
        except RedisError:
            return {}
        found = zip(entries.items(), changed, strict=True)
        return {
            i: entry.value for (i, entry), is_changed in found if not is_changed and entry.mark.startswith(generation)
        }


class CachedPosts:
    """Implements `ports.Posts`: keeps records, and the newest posts of the authors that are pulled."""

    def __init__(self, posts: Posts, stamps: Stamps, clock: Callable[[], float] = time.monotonic) -> None:
        self._posts = posts
        self._records = StampedCache[PostRecord](stamps, stamps.changed, clock)
        self._latest = StampedCache[list[int]](stamps, stamps.activity, clock)

    async def records(self, post_ids: Sequence[int]) -> dict[int, PostRecord]:
        return await self._records.get(post_ids, self._posts.records)

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        return await self._posts.ranking_features(post_ids)

    async def recent(
        self, author_ids: Iterable[int], after_id: int, before_id: int | None, limit_each: int
    ) -> dict[int, list[int]]:
        return await self._posts.recent(author_ids, after_id, before_id, limit_each)

    async def latest(self, author_ids: Sequence[int], window_start: int) -> dict[int, list[int]]:
        async def fetch(missing: list[int]) -> dict[int, list[int]]:
            found = await self._posts.latest(missing, window_start)
            return {author_id: found.get(author_id, []) for author_id in missing}

        def within(kept: dict[int, list[int]]) -> dict[int, list[int]]:
            cut = {author: [p for p in post_ids if p >= window_start] for author, post_ids in kept.items()}
            return {author: post_ids for author, post_ids in cut.items() if post_ids}

        try:
            return within(await self._latest.get(author_ids, fetch))
        except LastKnownError as error:
            raise LastKnownError(within(error.known)) from error


class CachedGraph:
    """Implements `ports.Graph`: keeps profiles; whom a reader follows is asked each time."""

    def __init__(self, graph: Graph, stamps: Stamps, clock: Callable[[], float] = time.monotonic) -> None:
        self._graph = graph
        self._authors = StampedCache[Author](stamps, stamps.activity, clock)

    async def followees(self, user_id: int) -> Followees:
        return await self._graph.followees(user_id)

    async def authors(self, user_ids: Sequence[int]) -> dict[int, Author]:
        return await self._authors.get(user_ids, self._graph.authors)

    async def relation(self, reader_id: int, author_id: int) -> Relation:
        return await self._graph.relation(reader_id, author_id)
