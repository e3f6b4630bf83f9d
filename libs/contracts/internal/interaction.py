"""The internal routes of the interaction service."""

from pydantic import BaseModel, ConfigDict, Field

from libs.contracts.internal import InternalRequest
from libs.contracts.public import Counts, Engagement

MARKS_A_CALL = 500
AUDITS_A_CALL = 100


class MarksRequest(InternalRequest):
    """Asks for the counts of posts, and for the reader's marks on them."""

    reader_id: int | None = None
    post_ids: list[int] = Field(max_length=MARKS_A_CALL)


class PostMarks(Engagement):
    """Counts of a post, and the reader's marks."""

    post_id: int


class CountsRequest(InternalRequest):
    """Names posts whose counts are compared or corrected. The answer to a correction repeats the request."""

    post_ids: list[int] = Field(max_length=AUDITS_A_CALL)


class PostAudit(BaseModel):
    """Counts of a post from the records, from the ledger, and from the cache that readers see.

    `differing` members of the ledger differ from their records; views have no records of their own.
    """

    model_config = ConfigDict(frozen=True)

    post_id: int
    recorded: Counts
    counted: Counts
    cached: Counts | None
    differing: int


class CountsAnswer(BaseModel):
    """The counts of each post, in the order of the request."""

    posts: list[PostAudit]
