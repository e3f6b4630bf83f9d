"""Gathers the candidates of a feed from all sources."""

import asyncio
from collections.abc import Sequence

from services.feed.domain.feed import Candidates, Reader
from services.feed.ports import CandidateSource, Posts, ReaderState
from services.feed.service.window import FeedWindow


class CandidateGatherer:
    """Asks all sources concurrently. If two propose the same post, the later one in `sources` wins."""

    def __init__(self, sources: Sequence[CandidateSource], posts: Posts, window: FeedWindow) -> None:
        self._sources = sources
        self._posts = posts
        self.window = window

    async def gather(self, reader: ReaderState) -> Candidates:
        """Return the candidates inside the window. Raises UnavailableError if a source has no data at all."""
        parts = await asyncio.gather(*(source.candidates(reader) for source in self._sources))
        return Candidates.merge(parts, self.window.start())

    async def older(self, reader: Reader, after_id: int, before_id: int, limit: int) -> list[int]:
        """Return the newest ids between the bounds, from the records.

        There are fewer than `limit` only if no others exist. Raises UnavailableError.
        """
        authors = {reader.user_id, *reader.followees.all}
        recent = await self._posts.recent(authors, after_id, before_id, limit)
        return sorted({p for post_ids in recent.values() for p in post_ids}, reverse=True)[:limit]
