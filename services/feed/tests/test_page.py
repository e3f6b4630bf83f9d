from datetime import UTC, datetime

import orjson
import pytest

from libs.contracts.public import Author, Engagement, Location, Post
from services.feed.domain.feed import Source
from services.feed.service.page import FeedPost, PageContent, ShownPost, content_json
from services.feed.tests.world import record

AUTHOR = Author(user_id=7, username="mia", display_name="Mia", avatar_url="http://feedmill/a.webp", is_verified=True)
FULL = record(381_000_000_000_000_000, 7).model_copy(
    update={
        "caption": 'a "quoted" word — ünïcode',
        "hashtags": ("sea", "sun"),
        "mentions": ("ben",),
        "location": Location(id="x", name="Lagos"),
        "edited_at": datetime(2026, 11, 26, 1, 2, 3, 456_789, UTC),
    }
)
PLAIN = record(381_000_000_000_000_001, 8)


@pytest.mark.parametrize("cursor", [None, "a.b"])
def test_the_json_is_that_of_the_models(cursor: str | None) -> None:
    shown = [
        ShownPost(FULL, AUTHOR, Engagement(like_count=3, is_liked=True), Source.PUSHED),
        ShownPost(PLAIN, Author(user_id=8, username="li", display_name="Li"), Engagement(), Source.OWN),
    ]
    posts = [Post.of(one.record, one.author, one.engagement, "http://feedmill") for one in shown]
    content = PageContent(
        posts=[FeedPost(**dict(post), source=one.source) for post, one in zip(posts, shown, strict=True)],
        next_cursor=cursor,
        has_more=cursor is not None,
        feed_session_id="1.a",
    )
    made = content_json(shown, cursor, "1.a", "http://feedmill")
    assert orjson.loads(made) == orjson.loads(content.model_dump_json())
    assert list(orjson.loads(made)["posts"][0]) == list(FeedPost.model_fields)
