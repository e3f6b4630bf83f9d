"""Marks (likes and saves), comments and their counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from libs.common.core.ids import MAX_ID, id_time

NO_PARENT = 0
CREATED, DELETED = 1, 2  # versions of a comment


@dataclass(frozen=True, slots=True)
class MemberState:
    """Whether a member counts, as of a version."""

    present: bool
    version: int


@dataclass(frozen=True, slots=True)
class LedgerCount:
    """One count in the ledger: some or all of its members, how many of all members are present, and the total."""

    members: Mapping[int, MemberState]
    present: int
    total: int


@dataclass(frozen=True, slots=True)
class CountDifference:
    """One count of a post by the records and by the ledger, and the members whose state must change.

    Members whose events have not been counted yet differ too. Only a lasting difference is an error.
    """

    recorded: int
    counted: int
    differing: Mapping[int, MemberState]


def compare_count(ledger: LedgerCount, recorded: Mapping[int, MemberState]) -> CountDifference:
    """Compare a count with the records.

    A member keeps its state if its version in the ledger is higher. A member without a record no longer counts.
    """
    removed = {m: MemberState(False, known.version) for m, known in ledger.members.items() if m not in recorded}
    differing = {
        member: state
        for member, state in {**recorded, **removed}.items()
        if (known := ledger.members.get(member)) != state and (known is None or known.version <= state.version)
    }
    present_before = {member: known.present for member, known in ledger.members.items()}
    delta = sum(state.present - present_before.get(member, False) for member, state in differing.items())
    return CountDifference(ledger.present + delta, ledger.total, differing)


class MarkKind(StrEnum):
    """A mark that a user can set once on a post or a comment."""

    LIKE = "like"
    SAVE = "save"
    COMMENT_LIKE = "comment_like"

    @property
    def lists_members(self) -> bool:
        """Likes are listed by target, saves by user."""
        return self is not MarkKind.SAVE


POST_MARKS = (MarkKind.LIKE, MarkKind.SAVE)


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark of one user on one post or comment. A removed mark is retained for its version."""

    user_id: int
    kind: MarkKind
    target_id: int
    mark_id: int
    version: int
    active: bool

    @property
    def list_entry(self) -> tuple[int, int]:
        """The owner of the list that the mark is in, and the member that it adds to that list."""
        if self.kind.lists_members:
            return self.target_id, self.user_id
        return self.user_id, self.target_id


@dataclass(frozen=True, slots=True)
class StoredComment:
    """A row of the comments table."""

    comment_id: int
    post_id: int
    parent_id: int
    author_id: int
    text: str
    deleted: bool = False

    @property
    def created_at(self) -> datetime:
        return id_time(self.comment_id)


_IDS = MAX_ID + 1
FIRST_POSITION = MAX_ID * _IDS


def top_position(likes: int, comment_id: int) -> int:
    """Return the position of a comment in the order "top".

    Comments with likes have positions above 0, in falling order. Comments without likes follow, below 0.
    """
    return likes * _IDS + comment_id if likes else -comment_id


def from_top_position(place: int) -> tuple[int, int]:
    """Return likes and comment id of a position."""
    return divmod(place, _IDS) if place > 0 else (0, -place)


@dataclass(frozen=True, slots=True)
class CountWithMember:
    """A count, and whether it includes a certain member."""

    total: int
    has_member: bool

    def shown(self, *, is_member: bool) -> int:
        """Return the count including the member's present state, whether it has been counted or not."""
        return max(int(is_member), self.total + int(is_member) - int(self.has_member))
