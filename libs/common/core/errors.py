"""Errors that a client can act on, and their RFC 9457 form.

Each problem code is one class. Its docstring says when it occurs; docs/errors.md is generated from it.
"""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel


class FieldError(BaseModel):
    """An error in one field of the request."""

    field: str
    message: str


class ApiError(Exception):
    """Base of every error that a client receives.

    Args:
        detail: a full sentence for people; by default the title.
        errors: the fields that are wrong.
    """

    status: int
    code: str
    title: str
    headers: Mapping[str, str] = {}

    def __init__(self, detail: str = "", *, errors: Sequence[FieldError] = ()) -> None:
        self.detail = detail or f"{self.title}."
        self.errors = list(errors)
        super().__init__(self.detail)


class BadRequestError(ApiError):
    """The request cannot be parsed."""

    status, code, title = 400, "bad_request", "Bad request"


class MalformedJsonError(BadRequestError):
    """The body of a request is not valid JSON."""

    code, title = "malformed_json", "The body is not valid JSON"


class UnauthorizedError(ApiError):
    """The route needs an access token, and the request has none in `Authorization: Bearer <token>`."""

    status, code, title = 401, "unauthorized", "Authentication required"
    headers = {"WWW-Authenticate": "Bearer"}


class ForbiddenError(ApiError):
    """The caller is known, but does not have the right to do this."""

    status, code, title = 403, "forbidden", "Forbidden"


class NotFoundError(ApiError):
    """The path or the resource does not exist, or the caller may not see it."""

    status, code, title = 404, "not_found", "Not found"


class MethodNotAllowedError(ApiError):
    """The path exists, but not with this method. `Allow` lists its methods, except in answers of the gateway."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"


class SlowBodyError(ApiError):
    """The client sent the request too slowly."""

    status, code, title = 408, "request_timeout", "Request timeout"


class ConflictError(ApiError):
    """The request conflicts with the present state. Each case has a code of its own."""

    status, code, title = 409, "conflict", "Conflict"


class TooLargeError(ApiError):
    """The body, or a file in it, is larger than the route accepts."""

    status, code, title = 413, "too_large", "Content too large"


class UnsupportedMediaError(ApiError):
    """The route does not accept this `Content-Type`, or this type of image."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class EncodedBodyError(UnsupportedMediaError):
    """The request has a `Content-Encoding`, such as gzip."""

    code, title = "encoded_body", "Content-Encoding is not supported"
    headers = {"Accept-Encoding": "identity"}


class InvalidError(ApiError):
    """A field or parameter has a wrong value, is missing or is unknown. `errors` lists the fields."""

    status, code, title = 422, "invalid", "Invalid request"


class KeyReusedError(InvalidError):
    """The same `Idempotency-Key` was sent before with another request."""

    code, title = "idempotency_key_reused", "The key was used for another request"


class RateLimitedError(ApiError):
    """The account or the address exceeded a rate limit. `Retry-After` gives the seconds to wait."""

    status, code, title = 429, "rate_limited", "Too many requests"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"Try again in {retry_after_s} s.")
        self.headers = {"Retry-After": str(retry_after_s)}


class TooManyInProgressError(ApiError):
    """The account or the address has too many requests in progress at the same time."""

    status, code, title = 429, "too_many_in_progress", "Too many requests in progress"
    headers = {"Retry-After": "1"}


class InternalError(ApiError):
    """An unexpected fault of the server. The logs have the cause under the request id."""

    status, code, title = 500, "internal_error", "Internal server error"


class UnavailableError(ApiError):
    """A service or a store that the request needs does not respond."""

    status, code, title = 503, "unavailable", "Service unavailable"
    headers = {"Retry-After": "2"}


class OverloadedError(UnavailableError):
    """A queue of the server is full, or events of earlier writes are not published yet."""

    code, title = "overloaded", "Overloaded"
    headers = {"Retry-After": "1"}


class DeadlineError(UnavailableError):
    """The request did not finish within its deadline."""

    status, code, title = 504, "deadline_exceeded", "Request timed out"


def invalid_field(field: str, message: str, kind: type[InvalidError] = InvalidError) -> InvalidError:
    """A 422 about one field. `message` is a full sentence."""
    return kind(message, errors=[FieldError(field=field, message=message)])
