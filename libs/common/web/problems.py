"""Errors as problem+json (RFC 9457)."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from libs.common.core.context import request_id
from libs.common.core.errors import (
    ApiError,
    BadRequestError,
    FieldError,
    InternalError,
    InvalidError,
    MalformedJsonError,
    MethodNotAllowedError,
    NotFoundError,
    UnavailableError,
)
from libs.common.core.ids import NoLeaseError
from libs.common.core.logging import get_logger
from libs.common.web.validation import LISTED_ERRORS, NAME_CHARS, count_of

PROBLEM_TYPE = "application/problem+json"
log = get_logger(__name__)


class Problem(BaseModel):
    """The body of every error response (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] | None = None
    errors_omitted: int | None = None
    """The number of errors that `errors` does not list. Absent when it lists all."""


class BodyError(HTTPException):
    """An error found while the body is read: FastAPI turns any other exception there into 400."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.status, error.detail)
        self.error = error


class RelayedError(ApiError):
    """A problem of another service, answered as our own with its code."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.status, self.code, self.title = int(problem["status"]), str(problem["code"]), str(problem["title"])
        errors = [FieldError.model_validate(item) for item in problem.get("errors", ())]
        super().__init__(str(problem["detail"]), errors=errors)


def problem_of(error: ApiError, omitted: int = 0) -> Response:
    """The problem+json answer. `omitted` counts the errors that it does not list."""
    problem = Problem(
        type=f"urn:feedmill:problem:{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        request_id=request_id(),
        errors=error.errors or None,
        errors_omitted=omitted or None,
    )
    body = problem.model_dump(mode="json", exclude_none=True)
    return JSONResponse(body, error.status, headers=dict(error.headers), media_type=PROBLEM_TYPE)


def _on_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return problem_of(error)


def _on_http_exception(_: Request, error: Exception) -> Response:
    if isinstance(error, BodyError):
        return problem_of(error.error)
    assert isinstance(error, HTTPException)
    problem = _of_status(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    if "GET" in (allowed := headers.get("Allow", "").split(", ")):
        headers["Allow"] = ", ".join(sorted({*allowed, "HEAD"}))
    problem.headers = headers
    return problem_of(problem)


def _of_status(status: int, detail: str) -> ApiError:
    """The error for a status that the framework answers with."""
    if status == NotFoundError.status:
        return NotFoundError()
    if status == MethodNotAllowedError.status:
        return MethodNotAllowedError()
    error = BadRequestError(f"{detail.rstrip('.')}.")
    error.status = status
    return error


def _field(location: Sequence[Any]) -> str:
    name = ".".join(str(part) for part in location[1:]) or str(location[0])
    return name if len(name) <= NAME_CHARS else f"{name[:NAME_CHARS]}…"


def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return problem_of(MalformedJsonError())
    listed = [fault for fault in faults[:LISTED_ERRORS] if count_of(fault) == 1]
    errors = [FieldError(field=_field(fault["loc"]), message=fault["msg"]) for fault in listed]
    total = sum(count_of(fault) for fault in faults)
    detail = "1 field is not valid." if total == 1 else f"{total} fields are not valid."
    return problem_of(InvalidError(detail, errors=errors), omitted=total - len(errors))


def _on_no_lease(request: Request, error: Exception) -> Response:
    log.error("no_id_lease", error=repr(error))
    return _on_api_error(request, UnavailableError())


def _on_unexpected(_: Request, error: Exception) -> Response:
    log.error("request_failed", exc_info=error)
    return problem_of(InternalError())


def install_error_handlers(app: FastAPI) -> None:
    """Let every failure leave as problem+json."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(NoLeaseError, _on_no_lease)
    app.add_exception_handler(Exception, _on_unexpected)
