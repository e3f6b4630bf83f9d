"""The internal routes of the feed service. Pages and explanations are its public ones; tools read these parts."""

from pydantic import BaseModel, ConfigDict

from libs.contracts.base import Id


class RecentReaders(BaseModel):
    """Ids of some users who read their feeds recently."""

    ids: list[int]


class FeedPagePost(BaseModel):
    """A post of a page."""

    post_id: Id


class FeedPageCoverage(BaseModel):
    """Whether the page is complete."""

    complete: bool


class FeedPageView(BaseModel):
    """A page of a feed."""

    posts: list[FeedPagePost]
    next_cursor: str | None
    coverage: FeedPageCoverage


class FeedReason(BaseModel):
    """Why a post is, or is not, in a feed. Other fields of the explanation are retained for display."""

    model_config = ConfigDict(extra="allow")

    reason: str
