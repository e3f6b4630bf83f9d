"""Pagination of lists with opaque, signed cursors."""

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query, Request

from libs.common.core.errors import BadRequestError
from libs.common.core.paging import DEFAULT_LIMIT, MAX_LIMIT, PEOPLE_LIMIT
from libs.common.web.params import Digits

_MAC_BYTES = 12
_MAX_CURSOR_CHARS = 8_000  # the cursor of a ranked feed contains the ids that were shown
Limit = Annotated[int, Digits, Query(ge=1, le=MAX_LIMIT)]
CursorParam = Annotated[str | None, Query(max_length=_MAX_CURSOR_CHARS)]


class InvalidCursorError(BadRequestError):
    """The cursor was not issued by this system, or belongs to another list."""

    code, title = "invalid_cursor", "The cursor is not valid for this list"


class Cursors:
    """Encodes and decodes cursors. A cursor contains a position, and its signature binds it to one list."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def encode(self, listing: str, position: Sequence[int | str]) -> str:
        """A cursor for a position in the list `listing`, such as `followers:17`."""
        body = orjson.dumps(list(position))
        return base64.urlsafe_b64encode(self._mac(listing, body) + body).rstrip(b"=").decode()

    def decode(self, listing: str, cursor: str | None) -> list[int | str] | None:
        """The position in the cursor; None without a cursor.

        Raises:
            InvalidCursorError: the cursor was not signed by us, or belongs to another list.
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

    def after(self, listing: str, cursor: str | None) -> int | None:
        """The position in a list that is ordered by one id. Raises InvalidCursorError."""
        position = self.decode(listing, cursor)
        return None if position is None else int(position[0])


@dataclass(frozen=True, slots=True)
class Paging:
    """The `limit` and `cursor` parameters of a request for a list, and what checks the cursor's signature."""

    limit: int
    cursor: str | None
    cursors: Cursors

    def after(self, listing: str) -> int | None:
        """The id after which the page begins; None for the first page. Raises InvalidCursorError."""
        return self.cursors.after(listing, self.cursor)

    def fields(self, listing: str, last: int | str | None) -> dict[str, Any]:
        """The fields `next_cursor` and `has_more`. `last` is the position of the last item; None at the end."""
        following = None if last is None else self.cursors.encode(listing, [last])
        return {"next_cursor": following, "has_more": following is not None}


def _paging(default_limit: int) -> Callable[..., Awaitable[Paging]]:
    async def paging(request: Request, limit: Limit = default_limit, cursor: CursorParam = None) -> Paging:
        return Paging(limit, cursor, request.app.state.cursors)

    return paging


PagingDep = Annotated[Paging, Depends(_paging(DEFAULT_LIMIT))]
LongPagingDep = Annotated[Paging, Depends(_paging(PEOPLE_LIMIT))]
"""Paging for lists of small items, such as people and comments."""
