"""Public JSON forms that more than one service returns."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.contracts.base import Id, Timestamp
from libs.contracts.media import Dimensions, MediaDocument


class Author(BaseModel):
    """The author of a post or a comment."""

    model_config = ConfigDict(frozen=True)

    user_id: Id
    username: str
    display_name: str
    avatar_url: str | None = None
    is_verified: bool = False


class Media(BaseModel):
    """An image of a post. `urls` has one URL for each variant."""

    model_config = ConfigDict(frozen=True)

    media_id: Id
    type: str
    urls: dict[str, str]
    dimensions: Dimensions
    placeholder: str
    dominant_color: str
    preferred: Literal["small", "medium"] = "medium"
    """The variant to load first, selected by `X-Network-Quality`."""

    @classmethod
    def of(cls, document: MediaDocument, public_url: str) -> "Media":
        """The public form of a document; `public_url` is the gateway's address."""
        return cls(
            media_id=document.media_id,
            type=document.type,
            urls={name: f"{public_url}/v1/m/{path}" for name, path in document.paths.items()},
            dimensions=document.dimensions,
            placeholder=document.placeholder,
            dominant_color=document.dominant_color,
        )


class Location(BaseModel):
    """The place of a post, given by its author."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None = Field(default=None, max_length=64)
    name: str = Field(min_length=1, max_length=200)


class CountKind(StrEnum):
    """The counts of a post. The values for likes and saves are those of the marks."""

    LIKE = "like"
    COMMENT = "comment"
    SAVE = "save"
    VIEW = "view"


class CommentCountKind(StrEnum):
    """The counts of a comment."""

    LIKE = "comment_like"


class Counts(BaseModel):
    """How often a post was liked, commented on, saved and viewed. The counts are the same for every reader."""

    model_config = ConfigDict(frozen=True)

    like_count: int = 0
    comment_count: int = 0
    save_count: int = 0
    view_count: int = 0


class Engagement(Counts):
    """The counts, and whether the caller liked or saved the post."""

    is_liked: bool = False
    is_saved: bool = False


class PostRecord(BaseModel):
    """A post as stored by the post service, for calls between services."""

    model_config = ConfigDict(frozen=True)

    post_id: Id
    author_id: Id
    media: tuple[MediaDocument, ...]
    caption: str
    hashtags: tuple[str, ...]
    mentions: tuple[str, ...]
    location: Location | None
    counts: Counts = Counts()
    status: str
    version: int
    created_at: Timestamp
    edited_at: Timestamp | None = None


class Post(BaseModel):
    """A post in answers to clients."""

    model_config = ConfigDict(frozen=True)

    post_id: Id
    author: Author
    media: list[Media]
    caption: str
    hashtags: list[str]
    mentions: list[str]
    location: Location | None
    engagement: Engagement
    status: str
    created_at: Timestamp
    edited_at: Timestamp | None

    @classmethod
    def of(cls, record: PostRecord, author: Author, engagement: Engagement, public_url: str) -> "Post":
        """Combine a post with its author, its counts and the reader's marks; `public_url` is the gateway's address."""
        return cls(
            post_id=record.post_id,
            author=author,
            media=[Media.of(document, public_url) for document in record.media],
            caption=record.caption,
            hashtags=list(record.hashtags),
            mentions=list(record.mentions),
            location=record.location,
            engagement=engagement,
            status=record.status,
            created_at=record.created_at,
            edited_at=record.edited_at,
        )
