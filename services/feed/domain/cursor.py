"""Cursors of a feed. They contain all that paging needs when the feed session is lost."""

import base64
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

TAIL = -1  # the position behind the pinned order: only posts below the floor are left, newest first
_SEPARATOR = "."


@dataclass(frozen=True, slots=True)
class ChronologicalCursor:
    """The next page of a chronological feed begins below the id `bound`."""

    session_id: str
    bound: int

    def fields(self) -> list[int | str]:
        """Return the values that `parse_cursor` reads."""
        return [self.session_id, self.bound]


@dataclass(frozen=True, slots=True)
class RankedCursor:
    """The next page of a ranked feed begins at `position` in the pinned order, or at `TAIL` below the id `floor`.

    The pinned order contains posts at or above `floor`. `shown` are the ids on the pages before: when the session is
    lost, they are not shown again.
    """

    session_id: str
    position: int
    floor: int
    shown: frozenset[int]

    def fields(self) -> list[int | str]:
        """Return the values that `parse_cursor` reads."""
        return [self.session_id, self.position, self.floor, pack(self.shown)]

    @property
    def top(self) -> int:
        """Posts at or above this id are newer than the session."""
        return session_top(self.session_id) or 0

    def tail(self, bound: int) -> "RankedCursor":
        """Continue below the id `bound`. Only shown ids below it are retained, because others cannot come again."""
        return replace(self, position=TAIL, floor=bound, shown=frozenset(p for p in self.shown if p < bound))


def parse_cursor(fields: Sequence[int | str]) -> ChronologicalCursor | RankedCursor:
    """Read the fields of either cursor, whose signature is already checked."""
    if len(fields) == 2:
        return ChronologicalCursor(str(fields[0]), int(fields[1]))
    session_id, position, floor, shown = fields
    return RankedCursor(str(session_id), int(position), int(floor), frozenset(unpack(str(shown))))


def new_session(top: int) -> str:
    """Create the id of a session of posts below the id `top`, from which `session_top` reads it."""
    return f"{top}{_SEPARATOR}{secrets.token_hex(8)}"


def session_top(session_id: str) -> int | None:
    """Return the id that the session's posts are below, or None if this is not a session id."""
    top, _, rest = session_id.partition(_SEPARATOR)
    return int(top) if rest and top.isascii() and top.isdigit() and len(top) <= 19 else None


def pack(post_ids: Iterable[int]) -> str:
    """Encode a set of ids as text, with about 8 characters for each.

    The ids are sorted. The difference between each id and the one before (0 before the first) is written in groups of
    7 bits, lowest first. The high bit of a byte means that the next byte continues the number (LEB128). The bytes are
    then encoded in base 85.
    """
    packed, previous = bytearray(), 0
    for post_id in sorted(post_ids):
        difference, previous = post_id - previous, post_id
        while difference > 127:
            packed.append(difference & 127 | 128)
            difference >>= 7
        packed.append(difference)
    return base64.b85encode(bytes(packed)).decode()


def unpack(text: str) -> list[int]:
    """Decode the result of `pack`. The ids are in ascending order."""
    post_ids, previous, difference, shift = list[int](), 0, 0, 0
    for byte in base64.b85decode(text):
        difference |= (byte & 127) << shift
        shift += 7
        if byte < 128:  # the last byte of a number
            previous += difference
            post_ids.append(previous)
            difference = shift = 0
    return post_ids
