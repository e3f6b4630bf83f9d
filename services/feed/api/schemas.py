"""Requests and responses of the feed service."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from libs.common.web.validation import RequestBody
from libs.contracts.base import Id, Timestamp
from services.feed.domain.explanation import SHOWN, Reason
from services.feed.domain.feed import Source
from services.feed.service.explain import Explanation

SessionId = Annotated[str, Field(pattern=r"^[0-9]{1,19}\.[0-9a-f]{16}$")]


class FeedUpdates(BaseModel):
    """The posts of others that are new since the feed session began."""

    new_post_count: int
    newest_post_id: Id | None


class FeedPosition(RequestBody):
    """The post that the caller reached."""

    feed_session_id: SessionId
    post_id: Id


class ScoreView(BaseModel):
    """The ranking score: `total` is 0.4 · recency + 0.6 · engagement."""

    model_config = ConfigDict(from_attributes=True)

    recency: float
    engagement: float
    total: float


class DeliveryView(BaseModel):
    """The fan-out of a post or of its deletion. `delivered` counts the feeds that were updated."""

    model_config = ConfigDict(from_attributes=True)

    mode: str
    followers: int
    chunks: int
    chunks_done: int
    delivered: int
    retries: int
    dead_letters: int
    started_at: Timestamp
    finished_at: Timestamp | None


class FeedExplanation(BaseModel):
    """The reason why a post is, or is not, in the caller's feed. `rank` starts at 1."""

    post_id: Id
    in_feed: bool
    reason: Reason
    source: Source | None
    rank: int | None
    score: ScoreView | None
    delivery: DeliveryView | None
    removal: DeliveryView | None

    @classmethod
    def of(cls, found: Explanation) -> "FeedExplanation":
        """Convert the explanation to its public form."""
        return cls(
            post_id=found.post_id,
            in_feed=found.reason in SHOWN,
            reason=found.reason,
            source=found.source,
            rank=found.rank,
            score=ScoreView.model_validate(found.score) if found.score else None,
            delivery=DeliveryView.model_validate(found.delivery) if found.delivery else None,
            removal=DeliveryView.model_validate(found.removal) if found.removal else None,
        )
