"""Opaque, signed cursors, each bound to its list."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Annotated

import orjson
from fastapi import Query

from libs.common.runtime.errors import BadRequestError

DEFAULT_LIMIT = 20
PEOPLE_LIMIT = 50  # followers, likes, comments
MAX_LIMIT = 100
_MAC_BYTES = 12
_MAX_CURSOR_CHARS = 8_000  # a ranked feed keeps the ids that it showed

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
CursorParam = Annotated[str | None, Query(max_length=_MAX_CURSOR_CHARS)]


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

    def after(self, listing: str, cursor: str | None) -> int | None:
        """The position of a list that is ordered by one id."""
        position = self.decode(listing, cursor)
        return None if position is None else int(position[0])
