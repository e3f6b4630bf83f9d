"""Marks and comments."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from libs.common.core.ids import MAX_ID, id_time

NO_PARENT = 0
CREATED, DELETED = 1, 2  # versions of a comment


@dataclass(frozen=True, slots=True)
class Membership:
    """Whether a member counts, as of a version."""

    present: bool
    version: int


@dataclass(frozen=True, slots=True)
class Ledgered:
    """What the ledger holds of one count: members (perhaps not all), how many of all are present, and the total."""

    members: Mapping[int, Membership]
    present: int
    total: int


@dataclass(frozen=True, slots=True)
class CountAudit:
    """One count of a post, as the records have it and as it was counted, and what members must be for these to agree.

    Members whose acts are on their way to the counters differ too: only what still differs later is wrong.
    """

    recorded: int
    counted: int
    differing: Mapping[int, Membership]


def audited(ledger: Ledgered, recorded: Mapping[int, Membership]) -> CountAudit:
    """Compare. A member of a lower version than the ledger's stays; one without a record counts no more."""
    gone = {m: Membership(False, known.version) for m, known in ledger.members.items() if m not in recorded}
    differing = {
        member: truth
        for member, truth in {**recorded, **gone}.items()
        if (known := ledger.members.get(member)) != truth and (known is None or known.version <= truth.version)
    }
    there = {member: known.present for member, known in ledger.members.items()}
    moved = sum(truth.present - there.get(member, False) for member, truth in differing.items())
    return CountAudit(ledger.present + moved, ledger.total, differing)


class MarkKind(StrEnum):
    """What a person can do, once, to a post or a comment."""

    LIKE = "like"
    SAVE = "save"
    COMMENT_LIKE = "comment_like"

    @property
    def lists_members(self) -> bool:
        """Likes are listed by what is liked, saves by person."""
        return self is not MarkKind.SAVE


OF_POSTS = (MarkKind.LIKE, MarkKind.SAVE)


@dataclass(frozen=True, slots=True)
class Mark:
    """One person's mark on one post or comment; also when it was taken back, for its version."""

    user_id: int
    kind: MarkKind
    target_id: int
    mark_id: int
    version: int
    active: bool

    @property
    def list_place(self) -> tuple[int, int]:
        """The list that the mark is in, and who or what stands there for it."""
        if self.kind.lists_members:
            return self.target_id, self.user_id
        return self.user_id, self.target_id


@dataclass(frozen=True, slots=True)
class StoredComment:
    """A comment as its row."""

    comment_id: int
    post_id: int
    parent_id: int
    author_id: int
    text: str
    deleted: bool = False

    @property
    def created_at(self) -> datetime:
        """When it was written."""
        return id_time(self.comment_id)


_IDS = MAX_ID + 1
FIRST_PLACE = MAX_ID * _IDS


def top_place(likes: int, comment_id: int) -> int:
    """Where a comment stands among the most liked: above 0 those with likes, in falling order; then those without."""
    return likes * _IDS + comment_id if likes else -comment_id


def of_top_place(place: int) -> tuple[int, int]:
    """Likes and comment id of a place."""
    return divmod(place, _IDS) if place > 0 else (0, -place)


@dataclass(frozen=True, slots=True)
class Counted:
    """A count, and whether it already holds a certain member."""

    total: int
    has_member: bool

    def shown(self, *, is_member: bool) -> int:
        """The count with the member's own state of now, whether the counters know of it yet or not."""
        return max(int(is_member), self.total + int(is_member) - int(self.has_member))
