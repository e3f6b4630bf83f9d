"""Opaque, signed cursors, each bound to its list."""

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import orjson
from fastapi import Query

from libs.common.core.errors import BadRequestError
from libs.common.web.params import Digits

DEFAULT_LIMIT = 20
PEOPLE_LIMIT = 50  # followers, likes, comments
MAX_LIMIT = 100
_MAC_BYTES = 12
FILL_UP = 100  # rows looked at together when a first look found too many that are hidden
MAX_SCANNED = 300  # rows that one page may look at: some 0.1 s
_MAX_CURSOR_CHARS = 8_000  # a ranked feed keeps the ids that it showed

Limit = Annotated[int, Digits, Query(ge=1, le=MAX_LIMIT)]
CursorParam = Annotated[str | None, Query(max_length=_MAX_CURSOR_CHARS)]


R = TypeVar("R")
T = TypeVar("T")
Placed = tuple[int, T]
"""An item of a list, and the id by which the list is ordered."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items, and the place after which the next page begins; None when there is none."""

    items: list[T]
    last: int | None


async def visible_page(
    read: Callable[[int, int], Awaitable[Sequence[Placed[R]]]],
    show: Callable[[Sequence[Placed[R]]], Awaitable[Sequence[Placed[T]]]],
    beyond: int,
    limit: int,
) -> Page[T]:
    """Up to `limit` items that can be shown; the others of what is read are passed over.

    It stops after MAX_SCANNED rows. Only then may a page be short, or even empty, though there is a next one; and only
    then may that one turn out to be empty.

    Args:
        read: the list's rows beyond a place, and how many.
        show: those rows that the reader may see, as items.
        beyond: where to begin.
        limit: of the page.
    """
    found: list[Placed[T]] = []
    count, scanned = limit + 1, 0
    while True:
        rows = await read(beyond, count)
        found += await show(rows)
        if len(found) > limit:
            return Page([item for _, item in found[:limit]], found[limit - 1][0])
        if len(rows) < count:
            return Page([item for _, item in found], None)
        beyond, scanned, count = rows[-1][0], scanned + count, max(limit + 1, FILL_UP)
        if scanned >= MAX_SCANNED:
            more = await read(beyond, 1)
            return Page([item for _, item in found], beyond if more else None)


class InvalidCursorError(BadRequestError):
    """The cursor was not made here, or for another list."""

    code, title = "invalid_cursor", "The cursor is not one of this list"


class Cursors:
    """Makes and reads cursors. A cursor holds a few integers or strings, and names the list that it belongs to."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def encode(self, listing: str, position: Sequence[int | str]) -> str:
        """A cursor for `position` in `listing` (such as `followers:17`)."""
        body = orjson.dumps(list(position))
        return base64.urlsafe_b64encode(self._mac(listing, body) + body).rstrip(b"=").decode()

    def decode(self, listing: str, cursor: str | None) -> list[int | str] | None:
        """The position, or None for no cursor.

        Raises:
            InvalidCursorError: not made here, or for another list.
        """
        if cursor is None:
            return None
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except ValueError as error:
            raise InvalidCursorError from error
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(listing, body)):
            raise InvalidCursorError
        position: list[int | str] = orjson.loads(body)
        return position

    def _mac(self, listing: str, body: bytes) -> bytes:
        return hmac.digest(self._secret, listing.encode() + b"\0" + body, hashlib.sha256)[:_MAC_BYTES]

    def following(self, listing: str, last: int | None) -> str | None:
        """The cursor of the next page of a list that is ordered by one id."""
        return None if last is None else self.encode(listing, [last])

    def after(self, listing: str, cursor: str | None) -> int | None:
        """The position of a list that is ordered by one id."""
        position = self.decode(listing, cursor)
        return None if position is None else int(position[0])
