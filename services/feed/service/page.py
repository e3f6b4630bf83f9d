"""The JSON of a feed page, which is assembled once and cached.

The models describe it for clients. `content_json` builds it without them, because their validation and serialisation
took 0.7 ms of CPU for a page of 20.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from pydantic import BaseModel

from libs.common.core.ids import id_time
from libs.contracts.base import Timestamp, rfc3339
from libs.contracts.media import MediaDocument
from libs.contracts.public import Author, Engagement, Post, PostRecord
from services.feed.domain.feed import CoverageGap, DeliveryPace, GapReason, Source


class FeedPost(Post):
    """A post in the feed, with its source."""

    source: Source
    reason: str | None = None
    """It is for recommended posts, and always None now. Clients can rely on the field before recommendations exist."""


class CoverageGapView(BaseModel):
    """A range of time whose posts may be missing from the page, with the reason."""

    reason: GapReason
    since: Timestamp | None = None
    until: Timestamp | None = None

    @classmethod
    def of(cls, gap: CoverageGap) -> "CoverageGapView":
        """Convert the ids of the range to times."""
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
        """List the gaps in a fixed order, each once."""
        complete = pace is DeliveryPace.NORMAL and all(gap.reason is GapReason.LOSSY for gap in gaps)
        public = {replace(gap, stale=False) for gap in gaps}  # clients see no difference
        return cls(complete=complete, gaps=[CoverageGapView.of(gap) for gap in sorted(public, key=repr)], delivery=pace)


class PageContent(BaseModel):
    """The part of a page that is cached."""

    posts: list[FeedPost]
    next_cursor: str | None
    has_more: bool
    feed_session_id: str


class FeedPage(PageContent):
    """A page of the feed, and whether it came from the cache."""

    cached: bool
    cache_age_seconds: int
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class ShownPost:
    """The parts of a post on a page."""

    record: PostRecord
    author: Author
    engagement: Engagement
    source: Source


def content_json(posts: Sequence[ShownPost], next_cursor: str | None, feed_session_id: str, public_url: str) -> bytes:
    """Build the JSON of a `PageContent`; `public_url` is the gateway's address."""
    return orjson.dumps(
        {
            "posts": [_post(post, public_url) for post in posts],
            "next_cursor": next_cursor,
            "has_more": next_cursor is not None,
            "feed_session_id": feed_session_id,
        }
    )


def _post(post: ShownPost, public_url: str) -> dict[str, Any]:
    record, author = post.record, post.author
    return {
        "post_id": str(record.post_id),
        "author": {**author.__dict__, "user_id": str(author.user_id)},
        "media": [_media(document, public_url) for document in record.media],
        "caption": record.caption,
        "hashtags": record.hashtags,
        "mentions": record.mentions,
        "location": record.location and record.location.__dict__,
        "engagement": post.engagement.__dict__,
        "status": record.status,
        "created_at": rfc3339(record.created_at),
        "edited_at": record.edited_at and rfc3339(record.edited_at),
        "source": post.source,
        "reason": None,
    }


def _media(document: MediaDocument, public_url: str) -> dict[str, Any]:
    return {
        "media_id": str(document.media_id),
        "type": document.type,
        "urls": {name: f"{public_url}/v1/m/{path}" for name, path in document.paths.items()},
        "dimensions": document.dimensions.__dict__,
        "placeholder": document.placeholder,
        "dominant_color": document.dominant_color,
        "preferred": "medium",
    }


def page_json(content: bytes, coverage: bytes, age_s: int | None = None) -> bytes:
    """Build the JSON of a `FeedPage` from the JSON of its content and coverage. `age_s` is None for a new page."""
    cached = b"false" if age_s is None else b"true"
    return b'%s,"cached":%s,"cache_age_seconds":%d,"coverage":%s}' % (content[:-1], cached, age_s or 0, coverage)
