"""Errors that a client can act on, and their RFC 9457 form."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel


class FieldError(BaseModel):
    """What is wrong with one field of the request."""

    field: str
    message: str


class ApiError(Exception):
    """An answer other than success. One subclass for each thing that a caller can do about it."""

    status = 500
    code = "internal_error"
    title = "Internal error"

    def __init__(self, detail: str = "", *, code: str | None = None, errors: Sequence[FieldError] = ()) -> None:
        self.detail = detail or self.title
        self.code = code or self.code
        self.errors = list(errors)
        super().__init__(self.detail)

    headers: Mapping[str, str] = {}


class BadRequestError(ApiError):
    status, code, title = 400, "bad_request", "Bad request"


class UnauthorizedError(ApiError):
    status, code, title = 401, "unauthorized", "Sign in first"
    headers = {"WWW-Authenticate": "Bearer"}


class ForbiddenError(ApiError):
    status, code, title = 403, "forbidden", "Not yours to do"


class NotFoundError(ApiError):
    status, code, title = 404, "not_found", "No such thing"


class ConflictError(ApiError):
    status, code, title = 409, "conflict", "In conflict with what there is"


class TooLargeError(ApiError):
    status, code, title = 413, "too_large", "Too large"


class SlowBodyError(ApiError):
    status, code, title = 408, "request_timeout", "The body was sent too slowly"


class UnsupportedMediaError(ApiError):
    status, code, title = 415, "unsupported_media_type", "Not a kind of file that can be shown"


class EncodedBodyError(UnsupportedMediaError):
    code, title = "encoded_body", "BodyChecks are taken without Content-Encoding only"
    headers = {"Accept-Encoding": "identity"}


class InvalidError(ApiError):
    status, code, title = 422, "invalid", "The request can't be used as it is"


class KeyReusedError(InvalidError):
    """An `Idempotency-Key` came with another request before."""

    code, title = "idempotency_key_reused", "The key was used for another request"


class RateLimitedError(ApiError):
    """Raised with the seconds after which to come back."""

    status, code, title = 429, "rate_limited", "Too many requests"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"come back in {retry_after_s} s")
        self.headers = {"Retry-After": str(retry_after_s)}


class TooManyInProgressError(ApiError):
    """One caller's share of something that all share is used up."""

    status, code, title = 429, "too_many_in_progress", "Too many requests in progress"
    headers = {"Retry-After": "1"}


class UnavailableError(ApiError):
    status, code, title = 503, "unavailable", "Not possible just now"
    headers = {"Retry-After": "2"}


class OverloadedError(UnavailableError):
    status, code, title = 503, "overloaded", "Overloaded, try again shortly"
    headers = {"Retry-After": "1"}


class DeadlineError(UnavailableError):
    status, code, title = 504, "deadline_exceeded", "Not done in time"


def invalid_field(field: str, message: str, code: str = "invalid") -> InvalidError:
    """A 422 about one field."""
    return InvalidError(message, code=code, errors=[FieldError(field=field, message=message)])
