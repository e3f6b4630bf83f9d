"""Records of other services, cached in memory as long as their invalidation stamps stay the same."""

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from cachetools import TTLCache

from libs.common.core.errors import UnavailableError
from libs.contracts.public import Author, PostRecord
from libs.feedlists import CAP
from libs.invalidation import LAST_KNOWN_S
from libs.telemetry.caches import count_reads
from services.feed.ports import CACHED_S, Graph, Partial, Posts, RecentLists, Stamps

CACHED_MAX = 20_000  # records, about 60 MB
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    """`stamp` is the value's own, `overall` that of all values of the kind when it was last compared."""

    cached_at: float
    stamp: bytes
    overall: bytes | None
    value: T


class StampedCache(Generic[T]):
    """A cache by id. Stamps are read before the values, so that an old value never gets a newer stamp."""

    def __init__(self, name: str, stamps: Stamps, key: Callable[[int], str], clock: Callable[[], float]) -> None:
        self._name = name
        self._stamps = stamps
        self._key = key
        self._clock = clock
        self._entries: TTLCache[int, _Entry[T]] = TTLCache(CACHED_MAX, LAST_KNOWN_S, clock)

    async def get(
        self,
        ids: Sequence[int],
        fetch: Callable[[list[int]], Awaitable[dict[int, T]]],
        overall: bytes | None = None,
    ) -> Partial[T]:
        """Return the values of the ids that exist.

        `overall` is a stamp, read before this call, that changes whenever the stamp of any id changes. Values that were
        compared under the same one are not compared again.

        While their owner is unavailable, older cached values are used if no stamp says that they changed, and the
        result is stale. Without Redis the cache is not used.
        """
        now = self._clock()
        cached = {i: e for i in ids if (e := self._entries.get(i)) and now - e.cached_at < CACHED_S}
        compared = {i: e.value for i, e in cached.items() if overall is not None and e.overall == overall}
        count_reads(self._name, hits=len(compared), misses=0)
        if unknown := [i for i in ids if i not in compared]:
            found = await self._compare(unknown, fetch, overall)
            return replace(found, values=compared | found.values)
        return Partial(compared)

    async def _compare(
        self, ids: Sequence[int], fetch: Callable[[list[int]], Awaitable[dict[int, T]]], overall: bytes | None
    ) -> Partial[T]:
        """Return the values after comparing their stamps; see `get`."""
        try:
            stamps = dict(zip(ids, await self._stamps.read([self._key(one) for one in ids]), strict=True))
        except UnavailableError:
            count_reads(self._name, hits=0, misses=len(ids))
            return await self._uncached(ids, fetch)
        now = self._clock()
        cached = {i: entry for i in stamps if (entry := self._entries.get(i))}
        valid = {i: e.value for i, e in cached.items() if e.stamp == stamps[i] and now - e.cached_at < CACHED_S}
        for i in valid if overall is not None else ():
            self._entries[i] = replace(cached[i], overall=overall)
        missing = [i for i in stamps if i not in valid]
        count_reads(self._name, hits=len(valid), misses=len(missing))
        try:
            fetched = await fetch(missing) if missing else {}
        except UnavailableError:
            return Partial(valid | await self._unchanged({i: cached[i] for i in missing if i in cached}), stale=True)
        for i, value in fetched.items():
            self._entries[i] = _Entry(now, stamps[i], overall, value)
        for i in missing:
            if i not in fetched:
                self._entries.pop(i, None)
        return Partial(valid | fetched)

    @staticmethod
    async def _uncached(ids: Sequence[int], fetch: Callable[[list[int]], Awaitable[dict[int, T]]]) -> Partial[T]:
        try:
            return Partial(await fetch(list(ids)))
        except UnavailableError:
            return Partial({}, stale=True)

    async def _unchanged(self, entries: dict[int, _Entry[T]]) -> dict[int, T]:
        """Return the values that have not changed, if Redis has not lost stamps since they were cached."""
        try:
            generation = await self._stamps.generation()
            changed = await self._stamps.exist([self._stamps.changed_lately(i) for i in entries])
        except UnavailableError:
            return {}
        found = zip(entries.items(), changed, strict=True)
        return {i: e.value for (i, e), is_changed in found if not is_changed and e.stamp.startswith(generation)}


class CachedPosts:
    """Implements `ports.PostCache`."""

    def __init__(
        self, posts: Posts, stamps: Stamps, recent: RecentLists, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._posts = posts
        self._records = StampedCache[PostRecord]("feed_posts", stamps, stamps.changed, clock)
        self._recent = recent

    async def records(self, post_ids: Sequence[int], overall: bytes | None) -> Partial[PostRecord]:
        return await self._records.get(post_ids, self._posts.records, overall)

    async def recent(self, author_ids: Collection[int], window_start: int) -> Partial[Sequence[int]]:
        async def ask(missing: Sequence[int]) -> dict[int, list[int]]:
            return await self._posts.recent(missing, window_start - 1, None, CAP)

        try:
            found = await self._recent.get(list(author_ids), ask)
        except UnavailableError:
            return Partial({}, stale=True)
        within = {
            author: post_ids if post_ids[-1] >= window_start else [p for p in post_ids if p >= window_start]
            for author, post_ids in found.by_author.items()
            if post_ids[0] >= window_start
        }
        return Partial(within, found.stale)


class CachedProfiles:
    """Implements `ports.AuthorCache`."""

    def __init__(self, graph: Graph, stamps: Stamps, clock: Callable[[], float] = time.monotonic) -> None:
        self._graph = graph
        self._authors = StampedCache[Author]("feed_authors", stamps, stamps.profile, clock)

    async def authors(self, user_ids: Sequence[int], overall: bytes | None) -> Partial[Author]:
        return await self._authors.get(user_ids, self._graph.authors, overall)
