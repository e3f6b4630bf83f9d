"""The internal routes of the post service."""

from typing import NamedTuple

from pydantic import BaseModel, Field

from libs.contracts.internal import InternalRequest
from libs.contracts.public import Post, PostRecord

POSTS_A_CALL = 500
AUTHORS_A_CALL = 1_000
RECENT_EACH = 500
"""Posts of one author in one answer."""
AuthorPost = tuple[int, int]
"""(author id, post id)."""


class PostsRequest(InternalRequest):
    """Asks for published posts. With a reader, posts hidden from the reader are left out."""

    post_ids: list[int] = Field(max_length=POSTS_A_CALL)
    reader_id: int | None = None


class RecentPostsRequest(InternalRequest):
    """Asks for the newest posts of each author, with ids in `(after_id, before_id)`."""

    author_ids: list[int] = Field(max_length=AUTHORS_A_CALL)
    after_id: int = 0
    before_id: int | None = None
    limit_each: int = Field(ge=1, le=RECENT_EACH)


class RankingFeatures(NamedTuple):
    """The inputs of ranking for one published post. It travels as a JSON array in this order."""

    post_id: int
    author_id: int
    like_count: int
    comment_count: int
    save_count: int


class PostRecordsAnswer(BaseModel):
    """Published posts, in any order."""

    posts: list[PostRecord]


class RankingFeaturesAnswer(BaseModel):
    """Features of published posts, in any order."""

    posts: list[RankingFeatures]


class RecentPostsAnswer(BaseModel):
    """Pairs, newest first for each author."""

    posts: list[AuthorPost]


class HydratedPostsAnswer(BaseModel):
    """Posts as the reader sees them, in the order of the request."""

    posts: list[Post]
