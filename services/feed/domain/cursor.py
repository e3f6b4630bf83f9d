"""Where a reader is in a feed: all that a cursor carries, so that paging outlives its session."""

import base64
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

TAIL = -1  # the pinned order is through; what is left lies below the floor, newest first
_SEPARATOR = "."


@dataclass(frozen=True, slots=True)
class ChronologicalCursor:
    """A chronological feed: everything at or above `bound` was shown."""

    session_id: str
    bound: int

    def fields(self) -> list[int | str]:
        """As a cursor keeps it."""
        return [self.session_id, self.bound]


@dataclass(frozen=True, slots=True)
class RankedCursor:
    """A ranked feed: the next place in the session's order, which holds posts at or above `floor`.

    At `TAIL` everything at or above `floor` is through. `shown` are the ids that the reader got; without the session
    they say what not to show again.
    """

    session_id: str
    position: int
    floor: int
    shown: frozenset[int]

    def fields(self) -> list[int | str]:
        """As a cursor keeps it."""
        return [self.session_id, self.position, self.floor, pack(self.shown)]

    @property
    def top(self) -> int:
        """Posts from here on are newer than the order."""
        return session_top(self.session_id) or 0

    def tail(self, bound: int) -> "RankedCursor":
        """Below `bound`: of what was shown only that can come again which lies there."""
        return replace(self, position=TAIL, floor=bound, shown=frozenset(p for p in self.shown if p < bound))


def parse_cursor(fields: Sequence[int | str]) -> ChronologicalCursor | RankedCursor:
    """From what a cursor kept."""
    if len(fields) == 2:
        return ChronologicalCursor(str(fields[0]), int(fields[1]))
    session_id, position, floor, shown = fields
    return RankedCursor(str(session_id), int(position), int(floor), frozenset(unpack(str(shown))))


def new_session(top: int) -> str:
    """A session of posts below `top`; it can be told from the id alone."""
    return f"{top}{_SEPARATOR}{secrets.token_hex(8)}"


def session_top(session_id: str) -> int | None:
    """Where the session began; None for what is no session's id."""
    top, _, rest = session_id.partition(_SEPARATOR)
    return int(top) if rest and top.isascii() and top.isdigit() and len(top) <= 19 else None


def pack(post_ids: Iterable[int]) -> str:
    """Ids as text, some 8 characters each: ascending differences in base 128, then in base 85."""
    packed, last = bytearray(), 0
    for post_id in sorted(post_ids):
        rest, last = post_id - last, post_id
        while rest > 127:
            packed.append(rest & 127 | 128)
            rest >>= 7
        packed.append(rest)
    return base64.b85encode(bytes(packed)).decode()


def unpack(text: str) -> list[int]:
    """What `pack` packed, ascending."""
    post_ids, last, rest, shift = list[int](), 0, 0, 0
    for byte in base64.b85decode(text):
        rest |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            last += rest
            post_ids.append(last)
            rest = shift = 0
    return post_ids
