"""The internal routes of the user service."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.common.core.ids import MAX_ID
from libs.contracts.internal import InternalRequest
from libs.contracts.public import Author

USERS_A_CALL = 500
FOLLOWERS_A_PAGE = 10_000
"""Follower ids in one answer, which the store sends as a single row; also the largest range."""
UserId = Annotated[int, Field(ge=0, le=MAX_ID)]
AudienceMode = Literal["push", "pull"]
IdRange = tuple[int, int]
"""Half-open: `(after, up_to]`."""


class AuthorsRequest(InternalRequest):
    """Asks for profiles.

    With a reader, the answer leaves out people on either side of a block. With `posts` it also leaves out people
    whose posts the reader may not see; without a reader these are all private accounts.
    """

    user_ids: list[UserId] = Field(max_length=USERS_A_CALL)
    reader_id: UserId | None = None
    posts: bool = False


class AuthorsAnswer(BaseModel):
    """Profiles in the order of the request; unknown ids are left out."""

    users: list[Author]


class AudiencesRequest(InternalRequest):
    """Asks for audiences. Follower ids come along for push authors with at most `followers_up_to` followers."""

    user_ids: list[UserId] = Field(max_length=USERS_A_CALL)
    followers_up_to: int = Field(ge=0, le=FOLLOWERS_A_PAGE)


class AudienceRecord(BaseModel):
    """The follower count of an author, and how posts reach the followers."""

    model_config = ConfigDict(frozen=True)

    user_id: int
    follower_count: int
    mode: AudienceMode
    followers: list[int] | None

    @property
    def is_push(self) -> bool:
        """Whether posts are pushed into feed lists."""
        return self.mode == "push"


class AudiencesAnswer(BaseModel):
    """Audiences; unknown authors are left out."""

    audiences: list[AudienceRecord]


class FollowerRanges(BaseModel):
    """Adjoining ranges of follower ids, ascending."""

    ranges: list[IdRange]


class AccountIds(BaseModel):
    """Account ids, ascending."""

    ids: list[int]


class FolloweesAnswer(BaseModel):
    """`pull` is a part of `followees`, `fresh` a part of `pull`."""

    followees: list[int]
    pull: list[int]
    fresh: list[int]


class RelationAnswer(BaseModel):
    """Why an author's posts are, or are not, in a reader's feed."""

    exists: bool
    following: bool = False
    muted: bool = False
    blocked: bool = Field(default=False, description="either way")
    banned: bool = False
    private: bool = False


class AccountTally(BaseModel):
    """Counts of one account."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    followers: int
    following: int
    posts: int


class AccountAudit(BaseModel):
    """Counts from the rows and from the counters, and the ids of the counted posts."""

    model_config = ConfigDict(from_attributes=True)

    recorded: AccountTally
    counted: AccountTally
    post_ids: list[int]


class AccountMendRequest(InternalRequest):
    """Post ids that exist, and that do not, where the post service and the counters differ."""

    there: list[int]
    gone: list[int]
