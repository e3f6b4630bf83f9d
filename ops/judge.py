"""Compares the posts that a feed showed with those that it had to show. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


class Fault(StrEnum):
    """What can be wrong with an item."""

    MISSING = "missing"
    EXTRA = "extra"
    """Shown, though the post is gone."""
    LEAKED = "leaked"
    """Shown, though its author's posts are not for this reader."""
    REPEATED = "repeated"
    MISORDERED = "misordered"


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of one item."""

    fault: Fault
    post_id: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """The posts that the feed must show, those that it may show, and existing posts that it must hide.

    `falls` is true if ids must descend from item to item.
    """

    must: frozenset[int]
    may: frozenset[int]
    hidden: frozenset[int] = frozenset()
    falls: bool = False


def judge(shown: Sequence[int], expected: Expectation) -> list[Finding]:
    """Return every fault, in the order of the enumeration."""
    found = Counter(shown)
    not_allowed = found.keys() - expected.may - expected.must
    return [
        *_findings(Fault.MISSING, expected.must - found.keys()),
        *_findings(Fault.EXTRA, not_allowed - expected.hidden),
        *_findings(Fault.LEAKED, not_allowed & expected.hidden),
        *_findings(Fault.REPEATED, (post_id for post_id, times in found.items() if times > 1)),
        *_findings(Fault.MISORDERED, (b for a, b in pairwise(shown) if a < b) if expected.falls else ()),
    ]


def _findings(fault: Fault, post_ids: Iterable[int]) -> list[Finding]:
    return [Finding(fault, post_id) for post_id in sorted(set(post_ids))]
