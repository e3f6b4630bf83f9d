"""Requests and responses of the post service."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from libs.common.web.text import Name, Prose, Text
from libs.common.web.validation import RequestBody
from libs.contracts.base import Id, Timestamp
from libs.contracts.media import MayFail
from libs.contracts.public import Location, Post
from services.post.domain import MAX_HASHTAGS, PublishStatus, normalized_tag

CAPTION_CHARS = 2_200
MEDIA_PER_POST = 10

Caption = Annotated[Prose, Field(max_length=CAPTION_CHARS, description="at most 2,200 code points")]


def _distinct(ids: list[int]) -> list[int]:
    if len(set(ids)) != len(ids):
        raise ValueError("must not contain duplicates")
    return ids


def _tag(text: str) -> str:
    tag = normalized_tag(text)
    if tag is None:
        raise ValueError("must have letters, digits and _ only, at least one letter, and at most 100 characters")
    return tag


class PostLocation(RequestBody, Location):
    """The place of a post."""

    id: Annotated[Text, Field(max_length=64)] | None = None
    name: Annotated[Name, Field(min_length=1, max_length=200)]


class CreatePost(RequestBody):
    """A new post from uploaded media."""

    caption: Caption = ""
    media_ids: Annotated[list[Id], Field(min_length=1, max_length=MEDIA_PER_POST), AfterValidator(_distinct)]
    hashtags: Annotated[
        list[Annotated[Text, AfterValidator(_tag)]],
        Field(
            max_length=MAX_HASHTAGS,
            description="hashtags besides those in the caption, at most 30 together. Letters, marks, digits and _ of"
            " any script, at least one letter, at most 100 code points, stored in lower case (NFKC)",
        ),
    ] = []
    location: PostLocation | None = None


class CreateMultipart(RequestBody):
    """A new post with its images."""

    image: Annotated[
        list[Annotated[str, Field(json_schema_extra={"format": "binary"})]],
        Field(min_length=1, max_length=MEDIA_PER_POST),
    ]
    caption: Caption = ""


class PatchPost(RequestBody):
    """Changes of a post. Omitted fields stay the same. `location: null` removes the location."""

    caption: Caption | None = None
    location: PostLocation | None = None


class Created(BaseModel):
    """A published post."""

    post_id: Id
    status: PublishStatus
    post: Post


class Accepted(BaseModel):
    """A post that is published when its media are ready."""

    post_id: Id
    status: PublishStatus
    estimated_ready_at: Timestamp
    status_url: str


class PostStatus(MayFail):
    """The status of a post."""

    post_id: Id
    status: PublishStatus


class PostPage(BaseModel):
    """A page of posts, newest first."""

    posts: list[Post]
    next_cursor: str | None
    has_more: bool
