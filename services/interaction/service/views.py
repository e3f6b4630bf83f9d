"""Comments as readers see them."""

from pydantic import BaseModel

from libs.contracts.base import Id, Timestamp
from libs.contracts.public import Author

COMMENT_CHARS = 2_200


class Comment(BaseModel):
    """A comment as clients see it."""

    comment_id: Id
    post_id: Id
    parent_id: Id | None
    author: Author
    text: str
    like_count: int
    is_liked: bool
    created_at: Timestamp
