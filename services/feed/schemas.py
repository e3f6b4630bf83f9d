"""What the feed answers with."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from libs.common.contracts.base import Id, Timestamp
from libs.common.contracts.public import Post
from services.feed.domain.feed import Gap, Source

SessionId = Annotated[str, Field(pattern=r"^[0-9]{1,19}\.[0-9a-f]{16}$")]


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


class FeedUpdates(BaseModel):
    """Posts of others that came since the session began."""

    new_post_count: int
    newest_post_id: Id | None


class FeedPosition(BaseModel):
    """The post that the reader is at."""

    model_config = ConfigDict(extra="forbid")

    feed_session_id: SessionId
    post_id: Id
