"""Requests and responses of the interaction service."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from libs.common.web.text import VisibleText
from libs.common.web.validation import RequestBody
from libs.contracts.base import Id
from libs.contracts.public import Author, Post
from services.interaction.service.views import COMMENT_CHARS, Comment


class Liked(BaseModel):
    """The result of a like. `like_count` includes it."""

    liked: bool
    like_count: int


class Saved(BaseModel):
    """The result of a save. `save_count` includes it."""

    saved: bool
    save_count: int


class UserPage(BaseModel):
    """A page of users, newest action first."""

    users: list[Author]
    next_cursor: str | None
    has_more: bool


class SavedPage(BaseModel):
    """A page of saved posts, last saved first."""

    posts: list[Post]
    next_cursor: str | None
    has_more: bool


class CreateComment(RequestBody):
    """A comment, or a reply to a comment."""

    text: Annotated[VisibleText, Field(min_length=1, max_length=COMMENT_CHARS, description="at most 2,200 code points")]
    parent_id: Id | None = None


CommentOrder = Literal["oldest", "top"]


class CommentPage(BaseModel):
    """A page of comments in the requested order."""

    comments: list[Comment]
    next_cursor: str | None
    has_more: bool
