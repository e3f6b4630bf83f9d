"""Where a reader's posts come from: the feed list, the pulled authors, and the records when the list is not there."""

import asyncio
from collections.abc import Callable

from redis.exceptions import RedisError

from libs.common.ids import first_id_at, now_ms
from libs.common.runtime.errors import UnavailableError
from libs.common.runtime.logging import get_logger
from libs.feedlists import CAP
from services.feed.domain import Candidates, Followees
from services.feed.ports import Cache, Graph, Lists, Posts

DAY_MS = 86_400_000
PULL_EACH = 50  # newest posts of one pulled author (SPEC §3.3)
log = get_logger(__name__)


class CandidateSource:
    """Gathers candidates. Feeds that are absent or half built are rebuilt once, whoever asks meanwhile."""

    def __init__(
        self,
        graph: Graph,
        posts: Posts,
        lists: Lists,
        cache: Cache,
        window_days: int,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._graph = graph
        self._posts = posts
        self._lists = lists
        self._cache = cache
        self._window_ms = window_days * DAY_MS
        self._clock_ms = clock_ms
        self._rebuilds: dict[int, asyncio.Task[Candidates]] = {}

    def window_start(self) -> int:
        """The first id inside the window."""
        return first_id_at(self._clock_ms() - self._window_ms)

    async def followees(self, reader_id: int) -> Followees:
        """Whom the reader follows now; as last known when the graph is away.

        Raises:
            UnavailableError: the graph is away, and nothing is known.
        """
        try:
            followees = await self._graph.followees(reader_id)
        except UnavailableError:
            kept = await self._kept_followees(reader_id)
            if kept is None:
                raise
            return kept
        try:
            await self._cache.keep_followees(reader_id, followees)
        except RedisError as error:
            log.warning("followees_not_kept", error=repr(error))
        return followees

    async def _kept_followees(self, reader_id: int) -> Followees | None:
        try:
            return await self._cache.kept_followees(reader_id)
        except RedisError:
            return None

    async def gather(self, reader_id: int, followees: Followees) -> Candidates:
        """All candidates within the window, newest first."""
        listed, pulled = await asyncio.gather(
            self._listed(reader_id, followees), self._pulled({reader_id, *followees.pull})
        )
        start = self.window_start()
        post_ids = sorted({p for p in (*listed.post_ids, *pulled) if p >= start}, reverse=True)
        return Candidates(tuple(post_ids), listed.complete, listed.degraded)

    async def older(self, reader_id: int, followees: Followees, before_id: int, limit: int) -> list[int]:
        """Ids below the end of the list, from the records."""
        authors = {reader_id, *followees.all}
        return await self._posts.recent(authors, self.window_start(), before_id, limit)

    async def _pulled(self, authors: set[int]) -> list[int]:
        return await self._posts.recent(authors, self.window_start(), None, PULL_EACH)

    async def _listed(self, reader_id: int, followees: Followees) -> Candidates:
        try:
            found = await self._lists.read(reader_id)
        except RedisError as error:
            log.warning("feed_list_unreadable", error=repr(error))
            return await self._from_records(followees, degraded=True)
        if found is not None and not found.building:
            return Candidates(found.post_ids, found.complete)
        return await self._rebuilt(reader_id, followees)

    async def _rebuilt(self, reader_id: int, followees: Followees) -> Candidates:
        task = self._rebuilds.get(reader_id)
        if task is None:
            task = asyncio.create_task(self._rebuild(reader_id, followees))
            self._rebuilds[reader_id] = task
            task.add_done_callback(lambda _: self._rebuilds.pop(reader_id, None))
        return await asyncio.shield(task)

    async def _rebuild(self, reader_id: int, followees: Followees) -> Candidates:
        """Begin before reading the records: what is posted later is pushed, what was posted before is read."""
        try:
            await self._lists.begin(reader_id)
            found = await self._from_records(followees, degraded=False)
            await self._lists.merge(reader_id, found.post_ids, whole=found.complete)
        except RedisError as error:
            log.warning("feed_not_rebuilt", error=repr(error))
            return await self._from_records(followees, degraded=True)
        return found

    async def _from_records(self, followees: Followees, *, degraded: bool) -> Candidates:
        post_ids = await self._posts.recent(followees.all, self.window_start(), None, CAP)
        newest = sorted(set(post_ids), reverse=True)
        return Candidates(tuple(newest[:CAP]), complete=len(newest) < CAP, degraded=degraded)
