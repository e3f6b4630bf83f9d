"""Marks and comments."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from libs.common.ids import id_time

NO_PARENT = 0


class MarkKind(StrEnum):
    """What a person can do to a post, once."""

    LIKE = "like"
    SAVE = "save"

    @property
    def lists_members(self) -> bool:
        """Likes are listed by post, saves by person."""
        return self is MarkKind.LIKE


@dataclass(frozen=True, slots=True)
class Mark:
    """One person's mark on one post; also when it was taken back, for its version."""

    user_id: int
    kind: MarkKind
    post_id: int
    mark_id: int
    version: int
    active: bool

    @property
    def list_place(self) -> tuple[int, int]:
        """The list that the mark is in, and who or what stands there for it."""
        if self.kind.lists_members:
            return self.post_id, self.user_id
        return self.user_id, self.post_id


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


@dataclass(frozen=True, slots=True)
class Counted:
    """A count, and whether it already holds a certain member."""

    total: int
    has_member: bool

    def shown(self, *, is_member: bool) -> int:
        """The count with the member's own state of now, whether the counters know of it yet or not."""
        return max(int(is_member), self.total + int(is_member) - int(self.has_member))
