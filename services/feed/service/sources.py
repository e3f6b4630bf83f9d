"""Sources of candidates: the reader's feed list, and authors whose posts are not pushed."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.feedlists import CAP, UnpushedRange
from services.feed.domain.feed import Candidates, CoverageGap, GapReason, Reader, Source, source_of
from services.feed.ports import FeedListStore, PostCache, Posts, ReaderState
from services.feed.service.followees import Readers
from services.feed.service.single_flight import SingleFlight
from services.feed.service.window import FeedWindow

REBUILD_S = 0.45  # a first read waits this long for its list, so that it is answered within 500 ms
SOURCE_DOWN = frozenset({CoverageGap(GapReason.SOURCE_DOWN)})
STALE = frozenset({CoverageGap(GapReason.SOURCE_DOWN, stale=True)})
log = get_logger(__name__)


class AuthorSource:
    """Posts of the reader and of pulled authors. One call reads both, because a second call would cost as much."""

    def __init__(self, cache: PostCache, window: FeedWindow) -> None:
        self._cache = cache
        self._window = window

    async def candidates(self, reader: ReaderState) -> Candidates:
        """Return posts inside the window. Without the post service these are the last known ones; never raises."""
        start = self._window.start()
        found = await self._cache.recent({reader.user_id, *reader.followees.pull}, start)
        recent, gaps = found.values, STALE if found.stale else frozenset()
        full = [post_ids[-1] for post_ids in recent.values() if len(post_ids) >= CAP]
        floor = start if gaps else max(full, default=start)
        sources = {author: source_of(author, reader) or Source.PULLED for author in recent}
        return Candidates({p: sources[author] for author, post_ids in recent.items() for p in post_ids}, floor, gaps)


class ListSource:
    """The reader's feed list, together with posts that were not pushed because of back pressure.

    An absent or incomplete list is rebuilt from the records, once for all requests that wait for it.
    """

    def __init__(
        self,
        readers: Readers,
        posts: Posts,
        cache: PostCache,
        lists: FeedListStore,
        window: FeedWindow,
    ) -> None:
        self._readers = readers
        self._posts = posts
        self._cache = cache
        self._lists = lists
        self._window = window
        self._rebuilds = SingleFlight[int, Candidates]()

    async def candidates(self, reader: ReaderState) -> Candidates:
        """Return the list, or posts from the records without Redis. Raises UnavailableError without both."""
        if reader.stored is None:
            return await self._from_records(reader, SOURCE_DOWN)
        found = reader.stored.listed
        try:
            if found is None or found.building:
                return await self._rebuilt(reader)
            start = self._window.start()
            floor = start if found.complete else min(found.post_ids, default=start)
            listed = Candidates(dict.fromkeys(found.post_ids, Source.PUSHED), floor)
            missing = [one for one in reader.stored.unpushed if one.gap_id > found.merged_up_to]
            return await self._with_unpushed(reader, listed, missing) if missing else listed
        except UnavailableError as error:
            log.warning("feed_list_unreadable", error=repr(error))
            return await self._from_records(reader, SOURCE_DOWN)

    async def warm(self, reader_id: int) -> None:
        """Build the list if there is none. Raises UnavailableError."""
        found = await self._lists.read(reader_id)
        if found is None or found.building:
            reader = await self._readers.refresh(reader_id)
            await self._rebuilds.run(reader_id, lambda: self._rebuild(reader))

    async def _with_unpushed(self, reader: Reader, listed: Candidates, ranges: Sequence[UnpushedRange]) -> Candidates:
        """Add the posts of these ranges. If a range is closed, they are also merged into the stored list."""
        first_id, last_id = min(one.first_id for one in ranges), max(one.last_id for one in ranges)
        followees = reader.followees
        try:
            recent = await self._posts.recent(followees.all, first_id - 1, last_id + 1, CAP)
        except UnavailableError:
            return replace(listed, gaps=STALE)
        found = sorted(p for post_ids in recent.values() for p in post_ids)
        closed = [one.gap_id for one in ranges if not one.is_open]
        if closed and not followees.stale:
            await self._lists.merge_unpushed(reader.user_id, found[-CAP:], max(closed))
        lossy = {CoverageGap(GapReason.LOSSY, one.first_id, one.last_id) for one in ranges if one.is_open}
        floor = max([listed.floor, *(post_ids[-1] for post_ids in recent.values() if len(post_ids) == CAP)])
        return Candidates({**listed.sources, **dict.fromkeys(found, Source.PUSHED)}, floor, frozenset(lossy))

    async def _rebuilt(self, reader: Reader) -> Candidates:
        """Return the rebuilt list, or after 0.45 s its present part, while the rebuild continues."""
        rebuild = self._rebuilds.run(reader.user_id, lambda: self._rebuild(reader))
        try:
            return await asyncio.wait_for(rebuild, REBUILD_S)
        except UnavailableError:
            return Candidates({}, self._window.start(), STALE)
        except TimeoutError:
            found = await self._lists.read(reader.user_id)
            rebuilding = frozenset({CoverageGap(GapReason.REBUILDING)})
            post_ids = found.post_ids if found else ()
            return Candidates(dict.fromkeys(post_ids, Source.PUSHED), self._window.start(), rebuilding)

    async def _rebuild(self, reader: Reader) -> Candidates:
        """Create the list, then read followees and records, then merge.

        The order matters: the events of later posts and follows find a list that they can write to. Without the graph
        the list stays incomplete. The followees are cached again, because Redis may have lost them with the list.
        """
        try:
            await self._lists.begin(reader.user_id)
            reader = await self._readers.refresh(reader.user_id)
            found = await self._from_records(reader, frozenset())
            await self._lists.merge(reader.user_id, found.post_ids, finish=True)
        except UnavailableError as error:
            log.warning("feed_list_not_rebuilt", error=repr(error))
            return await self._from_records(reader, SOURCE_DOWN)
        return found

    async def _from_records(self, reader: Reader, gaps: frozenset[CoverageGap]) -> Candidates:
        start = self._window.start()
        recent = (await self._cache.recent(reader.followees.all, start)).complete()
        newest = sorted((p for post_ids in recent.values() for p in post_ids), reverse=True)[:CAP]
        floor = newest[-1] if len(newest) == CAP else start
        return Candidates(dict.fromkeys(newest, Source.PUSHED), floor, gaps)
