"""What the feed service keeps in memory of the records of others, true as long as the marks that it saw."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from cachetools import TTLCache
from redis.exceptions import RedisError

from libs.common.contracts.public import Author, PostRecord
from services.feed.domain.feed import Followees, Relation, Trait
from services.feed.ports import Acts, Graph, Posts

KEPT_S = 60  # also the longest that a mark may be missed which Redis did not take; far below the life of marks
KEPT_MAX = 20_000  # records, some 60 MB
T = TypeVar("T")


class Marked(Generic[T]):
    """A cache by id. Marks are read before what they vouch for, so that nothing newer is ever taken for older."""

    def __init__(self, acts: Acts, key: Callable[[int], str]) -> None:
        self._acts = acts
        self._key = key
        self._kept: TTLCache[int, tuple[bytes, T]] = TTLCache(KEPT_MAX, KEPT_S)

    async def get(self, ids: Sequence[int], fetch: Callable[[list[int]], Awaitable[dict[int, T]]]) -> dict[int, T]:
        """The values of those that there are; without Redis nothing is kept."""
        try:
            marks = dict(zip(ids, await self._acts.seen([self._key(one) for one in ids]), strict=True))
        except RedisError:
            return await fetch(list(ids))
        known = {i: entry[1] for i, mark in marks.items() if (entry := self._kept.get(i)) and entry[0] == mark}
        missing = [i for i in marks if i not in known]
        fetched = await fetch(missing) if missing else {}
        for i, value in fetched.items():
            self._kept[i] = (marks[i], value)
        return known | fetched


class KeptPosts:
    """Implements `ports.Posts`: keeps records, and the newest posts of the authors that are pulled."""

    def __init__(self, posts: Posts, acts: Acts) -> None:
        self._posts = posts
        self._records = Marked[PostRecord](acts, acts.outdated)
        self._latest = Marked[list[int]](acts, acts.of)

    async def records(self, post_ids: Sequence[int]) -> dict[int, PostRecord]:
        return await self._records.get(post_ids, self._posts.records)

    async def traits(self, post_ids: Sequence[int]) -> list[Trait]:
        return await self._posts.traits(post_ids)

    async def recent(
        self, author_ids: Iterable[int], after_id: int, before_id: int | None, limit_each: int
    ) -> dict[int, list[int]]:
        return await self._posts.recent(author_ids, after_id, before_id, limit_each)

    async def latest(self, author_ids: Sequence[int], window_start: int) -> dict[int, list[int]]:
        async def fetch(missing: list[int]) -> dict[int, list[int]]:
            found = await self._posts.latest(missing, window_start)
            return {author_id: found.get(author_id, []) for author_id in missing}

        kept = await self._latest.get(author_ids, fetch)
        within = {author: [p for p in post_ids if p >= window_start] for author, post_ids in kept.items()}
        return {author: post_ids for author, post_ids in within.items() if post_ids}


class KeptGraph:
    """Implements `ports.Graph`: keeps profiles; whom a reader follows is asked each time."""

    def __init__(self, graph: Graph, acts: Acts) -> None:
        self._graph = graph
        self._authors = Marked[Author](acts, acts.of)

    async def followees(self, user_id: int) -> Followees:
        return await self._graph.followees(user_id)

    async def authors(self, user_ids: Sequence[int]) -> dict[int, Author]:
        return await self._authors.get(user_ids, self._graph.authors)

    async def relation(self, reader_id: int, author_id: int) -> Relation:
        return await self._graph.relation(reader_id, author_id)
