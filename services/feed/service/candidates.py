"""Candidates of a feed, from all sources."""

import asyncio
from collections.abc import Sequence

from services.feed.domain.feed import Candidates, Reader
from services.feed.ports import CandidateSource, Posts
from services.feed.service.window import FeedWindow


class CandidateGatherer:
    """Asks every source at once. Where two propose the same post, the later one of `sources` says why it is there."""

    def __init__(self, sources: Sequence[CandidateSource], posts: Posts, window: FeedWindow) -> None:
        self._sources = sources
        self._posts = posts
        self.window = window

    async def gather(self, reader: Reader) -> Candidates:
        """The candidates within the window. Raises UnavailableError when a source knows nothing at all."""
        parts = await asyncio.gather(*(source.candidates(reader) for source in self._sources))
        return Candidates.merge(parts, self.window.start())

    async def older(self, reader: Reader, after_id: int, before_id: int, limit: int) -> list[int]:
        """The newest ids between the bounds, from the records; fewer than `limit` only when there are no more."""
        authors = {reader.user_id, *reader.followees.all}
        recent = await self._posts.recent(authors, after_id, before_id, limit)
        return sorted({p for post_ids in recent.values() for p in post_ids}, reverse=True)[:limit]
