"""The JSON of a feed page, which is assembled once and cached."""

from dataclasses import replace

from pydantic import BaseModel

from libs.common.core.ids import id_time
from libs.contracts.base import Timestamp
from libs.contracts.public import Post
from services.feed.domain.feed import CoverageGap, DeliveryPace, GapReason, Source


class FeedPost(Post):
    """A post in the feed, with its source."""

    source: Source
    reason: str | None = None
    """Of a recommended post; part of the API from the start, so that recommendations change no shape."""


class CoverageGapView(BaseModel):
    """A range of time whose posts may be missing from the page, with the reason."""

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
    """Whether the page is complete. While `delivery` is not `normal`, new posts may arrive late."""

    complete: bool
    gaps: list[CoverageGapView]
    delivery: DeliveryPace

    @classmethod
    def of(cls, gaps: frozenset[CoverageGap], pace: DeliveryPace) -> "Coverage":
        """In a fixed order."""
        complete = pace is DeliveryPace.NORMAL and all(gap.reason is GapReason.LOSSY for gap in gaps)
        said = {replace(gap, stale=False) for gap in gaps}
        return cls(complete=complete, gaps=[CoverageGapView.of(gap) for gap in sorted(said, key=repr)], delivery=pace)


class PageContent(BaseModel):
    """The part of a page that is cached."""

    posts: list[FeedPost]
    next_cursor: str | None
    has_more: bool
    feed_session_id: str


class FeedPage(PageContent):
    """A page as the client sees it: the content, whether it was cached, and what is missing."""

    cached: bool
    cache_age_seconds: int
    coverage: Coverage


def page_json(content: bytes, coverage: bytes, age_s: int | None = None) -> bytes:
    """Return the JSON of a `FeedPage` from that of its content and its coverage. `age_s` is None for a new page."""
    cached = b"false" if age_s is None else b"true"
    return b'%s,"cached":%s,"cache_age_seconds":%d,"coverage":%s}' % (content[:-1], cached, age_s or 0, coverage)
