"""The JSON of a feed page, which is assembled once and cached."""

from dataclasses import replace

from pydantic import BaseModel

from libs.common.core.ids import id_time
from libs.contracts.base import Timestamp
from libs.contracts.public import Post
from services.feed.domain.feed import CoverageGap, DeliveryPace, GapReason, Source


class FeedPost(Post):
    """A post, and why it is here."""

    source: Source
    reason: str | None = None
    """Of a recommended post; part of the API from the start, so that recommendations change no shape."""


class CoverageGapView(BaseModel):
    """Something that may be missing, and why; `lossy` is what was pulled because it was not pushed."""

    reason: GapReason
    since: Timestamp | None = None
    until: Timestamp | None = None

    @classmethod
    def of(cls, gap: CoverageGap) -> "CoverageGapView":
        """With times for ids."""
        return cls(
            reason=gap.reason,
            since=None if gap.first_id is None else id_time(gap.first_id),
            until=None if gap.last_id is None else id_time(gap.last_id),
        )


class Coverage(BaseModel):
    """Whether the page shows all that it should. While `delivery` is not normal, posts may be on their way to it."""

    complete: bool
    gaps: list[CoverageGapView]
    delivery: DeliveryPace

    @classmethod
    def of(cls, gaps: frozenset[CoverageGap], pace: DeliveryPace) -> "Coverage":
        """In a fixed order."""
        complete = pace is DeliveryPace.NORMAL and all(gap.reason is GapReason.LOSSY for gap in gaps)
        said = {replace(gap, stale=False) for gap in gaps}
        return cls(complete=complete, gaps=[CoverageGapView.of(gap) for gap in sorted(said, key=repr)], delivery=pace)


class FeedPage(BaseModel):
    """One page of the feed. What is true of a moment comes last: in a kept page it is written anew."""

    posts: list[FeedPost]
    next_cursor: str | None
    has_more: bool
    feed_session_id: str
    cached: bool
    cache_age_seconds: int
    coverage: Coverage
