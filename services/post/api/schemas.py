"""Requests and answers of the post service."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from libs.common.web.text import Name, Prose, Text
from libs.common.web.validation import RequestBody
from libs.contracts.base import Id, Timestamp
from libs.contracts.media import MayFail
from libs.contracts.public import Location, Post
from services.post.domain import MAX_HASHTAGS, Status, normal_tag

CAPTION_CHARS = 2_200
MEDIA_A_POST = 10

Caption = Annotated[Prose, Field(max_length=CAPTION_CHARS, description="at most 2,200 code points")]


def _distinct(ids: list[int]) -> list[int]:
    if len(set(ids)) != len(ids):
        raise ValueError("each media id once")
    return ids


def _tag(text: str) -> str:
    tag = normal_tag(text)
    if tag is None:
        raise ValueError("a hashtag has letters, marks, digits and _, at least one letter, and at most 100 characters")
    return tag


class PostLocation(RequestBody, Location):
    """Where it was taken."""

    id: Annotated[Text, Field(max_length=64)] | None = None
    name: Annotated[Name, Field(min_length=1, max_length=200)]


class CreatePost(RequestBody):
    """A new post from uploaded media."""

    caption: Caption = ""
    media_ids: Annotated[list[Id], Field(min_length=1, max_length=MEDIA_A_POST), AfterValidator(_distinct)]
    hashtags: Annotated[
        list[Annotated[Text, AfterValidator(_tag)]],
        Field(
            max_length=MAX_HASHTAGS,
            description="beside those in the caption, 30 together: letters, marks, digits and _ of any script, with a"
            " letter, at most 100 code points, stored in lower case (NFKC)",
        ),
    ] = []
    location: PostLocation | None = None


class CreateMultipart(RequestBody):
    """A new post with its pictures."""

    image: Annotated[
        list[Annotated[str, Field(json_schema_extra={"format": "binary"})]],
        Field(min_length=1, max_length=MEDIA_A_POST),
    ]
    caption: Caption = ""


class PatchPost(RequestBody):
    """Changes; what is left out stays. `location: null` takes it away."""

    caption: Caption | None = None
    location: PostLocation | None = None


class Created(BaseModel):
    """The post can be seen."""

    post_id: Id
    status: Status
    post: Post


class Accepted(BaseModel):
    """The post will be seen when its media are ready."""

    post_id: Id
    status: Status
    estimated_ready_at: Timestamp
    status_url: str


class PostStatus(MayFail):
    """Where a post stands."""

    post_id: Id
    status: Status


class PostPage(BaseModel):
    """Posts, newest first."""

    posts: list[Post]
    next_cursor: str | None
    has_more: bool
