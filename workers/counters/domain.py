"""Counting by memberships: a count is the number of members that are present. Pure functions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

OFFSET_BITS = 44  # 17 trillion events per partition; a write time has space for 2^18 epochs


@dataclass(frozen=True, slots=True)
class Membership:
    """The state of a member as of a version; `present` if it counts. The version of an unknown member is -1."""

    present: bool = False
    version: int = -1


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """The change of one member by an event. With `audited` it also overrides a change of the same version."""

    member: int
    present: bool
    version: int
    audited: bool = False


@dataclass(frozen=True, slots=True)
class CountUpdate:
    """The members that changed, and the new total."""

    members: Mapping[int, Membership]
    total: int


@dataclass(frozen=True, slots=True)
class CommentPlace:
    """A comment and its list: the replies to `parent_id`, or with 0 the comments on the post itself."""

    post_id: int
    parent_id: int
    comment_id: int


def apply_changes(members: Mapping[int, Membership], total: int, changes: Iterable[MembershipChange]) -> CountUpdate:
    """Apply changes to the stored states of their members.

    For each member the highest version wins; the same or an older version changes nothing. So the result depends
    neither on the order of changes nor on repetition.
    """
    current = dict(members)
    changed: dict[int, Membership] = {}
    for change in changes:
        known = current.get(change.member, Membership())
        if change.version < known.version + (not change.audited):
            continue
        total += int(change.present) - int(known.present)
        current[change.member] = changed[change.member] = Membership(change.present, change.version)
    return CountUpdate(changed, total)


def write_time(epoch: int, offset: int) -> int:
    """The write time of a ledger batch whose last event is at `offset`. It grows with the offset."""
    return (epoch << OFFSET_BITS) + offset + 1
