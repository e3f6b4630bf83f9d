"""The errors that the gateway itself answers, in the same form as the services' own."""

import json
from dataclasses import dataclass

from libs.common.core.errors import (
    ApiError,
    BadRequestError,
    ForbiddenError,
    InternalError,
    MethodNotAllowedError,
    NotFoundError,
    SlowBodyError,
    TooLargeError,
    TooManyInProgressError,
    UnavailableError,
)


class LengthRequiredError(ApiError):
    """The request has a body, but neither `Content-Length` nor chunks."""

    status, code, title = 411, "length_required", "Length required"


class UriTooLongError(ApiError):
    """The URL of the request is too long."""

    status, code, title = 414, "uri_too_long", "URI too long"


class RangeNotSatisfiableError(ApiError):
    """The `Range` header asks for bytes after the end of the file."""

    status, code, title = 416, "range_not_satisfiable", "Range not satisfiable"


class HeadersTooLargeError(ApiError):
    """The headers of the request are too large."""

    status, code, title = 431, "headers_too_large", "Request header fields too large"


@dataclass(frozen=True, slots=True)
class Problem:
    """One answer; `causes` are nginx's codes that lead to it."""

    kind: type[ApiError]
    detail: str
    causes: tuple[int, ...]
    before_routing: bool = False
    after_headers: bool = False

    @property
    def location(self) -> str:
        """Where nginx goes to answer it.

        A named location keeps method and path for the log, but needs a parsed path to come from. No client can ask for
        a path with `//`, which nginx merges.
        """
        return f"//{self.kind.code}" if self.before_routing else f"@{self.kind.code}"

    def body(self) -> str:
        """problem+json in which nginx puts the request's id."""
        fields = {
            "type": f"urn:feedmill:problem:{self.kind.code}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "code": self.kind.code,
            "request_id": "$rid",
        }
        return json.dumps(fields)


PROBLEMS = (
    Problem(BadRequestError, "The request is not well-formed HTTP.", (400, 501, 505), before_routing=True),
    Problem(ForbiddenError, "This path is not public.", (403,)),
    Problem(NotFoundError, "The path does not exist.", (404,)),
    Problem(MethodNotAllowedError, "This path does not support this method.", (405,)),
    Problem(SlowBodyError, "The request did not arrive in time.", (408,)),
    Problem(LengthRequiredError, "The request needs a Content-Length.", (411,)),
    Problem(TooLargeError, "The body is larger than this route accepts.", (413,)),
    Problem(UriTooLongError, "The URL is too long.", (414,), before_routing=True),
    Problem(RangeNotSatisfiableError, "The file is shorter than the requested range.", (416,), after_headers=True),
    Problem(TooManyInProgressError, "Your address has too many connections.", (429,)),
    Problem(HeadersTooLargeError, "The headers are too large.", (494,), before_routing=True),
    Problem(InternalError, "An unexpected error occurred.", (500,)),
    Problem(UnavailableError, "Please try again in a moment.", (502, 503, 504)),
)
