"""Counting as the folding of memberships. Pure functions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

OFFSET_BITS = 44  # 17 trillion events of a partition, and room for 2^18 epochs in a write time


@dataclass(frozen=True, slots=True)
class Membership:
    """Whether a member counts, as of a version. The version of a member that was never heard of is -1."""

    present: bool = False
    version: int = -1


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """What an event says about one member. One that was `audited` holds against another of the same version too."""

    member: int
    present: bool
    version: int
    audited: bool = False


@dataclass(frozen=True, slots=True)
class Folded:
    """The members that changed, and the total with them."""

    members: Mapping[int, Membership]
    total: int


@dataclass(frozen=True, slots=True)
class CommentPlace:
    """A comment and the list that it is in; `parent_id` 0: on the post itself."""

    post_id: int
    parent_id: int
    comment_id: int


def fold(members: Mapping[int, Membership], total: int, changes: Iterable[MembershipChange]) -> Folded:
    """Apply changes to what the ledger knows of their members.

    The change of the highest version stays for each member; the same or an older one changes nothing. So the result
    depends neither on order nor on repetition.
    """
    current = dict(members)
    changed: dict[int, Membership] = {}
    for change in changes:
        known = current.get(change.member, Membership())
        if change.version < known.version + (not change.audited):
            continue
        total += int(change.present) - int(known.present)
        current[change.member] = changed[change.member] = Membership(change.present, change.version)
    return Folded(changed, total)


def write_time(epoch: int, offset: int) -> int:
    """The write time of a ledger batch that ends with the event at `offset`: later events write later."""
    return (epoch << OFFSET_BITS) + offset + 1
