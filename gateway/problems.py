"""The errors that the gateway itself answers, in the same form as the services' own."""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One answer; `causes` are nginx's codes that lead to it."""

    code: str
    status: int
    title: str
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
        return f"//{self.code}" if self.before_routing else f"@{self.code}"

    def body(self) -> str:
        """problem+json in which nginx puts the request's id."""
        fields = {
            "type": f"urn:feedmill:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": "$rid",
        }
        return json.dumps(fields)


PROBLEMS = (
    Problem("bad_request", 400, "Bad request", "this is not well-formed HTTP", (400, 501, 505), before_routing=True),
    Problem("forbidden", 403, "Not yours to do", "there is nothing to see here", (403,)),
    Problem("not_found", 404, "No such thing", "no such route", (404,)),
    Problem("method_not_allowed", 405, "Method not allowed", "this path does not take this method", (405,)),
    Problem("request_timeout", 408, "Too slow", "the request did not arrive in time", (408,)),
    Problem("length_required", 411, "Length required", "say how long the body is", (411,)),
    Problem("too_large", 413, "Too large", "the body is larger than this route takes", (413,)),
    Problem(
        "uri_too_long", 414, "Address too long", "the address is longer than any of ours", (414,), before_routing=True
    ),
    Problem("range_not_satisfiable", 416, "No such range", "the file is shorter than that", (416,), after_headers=True),
    Problem(
        "too_many_in_progress", 429, "Too many requests in progress", "your address has too many connections", (429,)
    ),
    Problem(
        "headers_too_large",
        431,
        "Headers too large",
        "the headers are larger than can be taken",
        (494,),
        before_routing=True,
    ),
    Problem("internal_error", 500, "Internal error", "something went wrong on our side", (500,)),
    Problem("unavailable", 503, "Not possible just now", "try again in a moment", (502, 503, 504)),
)
