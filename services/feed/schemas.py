"""What the feed answers with."""

from pydantic import BaseModel

from libs.common.contracts.base import Timestamp
from libs.common.contracts.public import Post
from services.feed.domain import Gap, Source


class FeedPost(Post):
    """A post, and why it is here."""

    source: Source
    reason: str | None = None


class CoverageGap(BaseModel):
    """Something that may be missing, and why."""

    reason: Gap
    since: Timestamp | None = None
    until: Timestamp | None = None


class Coverage(BaseModel):
    """Whether the page shows all that it should."""

    complete: bool
    gaps: list[CoverageGap]


class FeedPage(BaseModel):
    """One page of the feed."""

    posts: list[FeedPost]
    next_cursor: str | None
    has_more: bool
    feed_session_id: str
    cached: bool
    cache_age_seconds: int
    coverage: Coverage
