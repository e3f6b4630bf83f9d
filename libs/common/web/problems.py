"""Errors as problem+json (RFC 9457)."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from libs.common.core.context import request_id
from libs.common.core.errors import ApiError, FieldError, InvalidError, UnavailableError
from libs.common.core.ids import NoLeaseError
from libs.common.core.logging import get_logger
from libs.common.web.validation import LISTED_ERRORS, NAME_CHARS, count_of

PROBLEM_TYPE = "application/problem+json"
log = get_logger(__name__)


class Problem(BaseModel):
    """The body of every error answer."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] | None = None
    errors_omitted: int | None = None
    """How many more there are than `errors` lists; absent when it lists them all."""


class BodyError(HTTPException):
    """An error found while the body is read: FastAPI turns any other exception there into 400."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.status, error.detail)
        self.error = error


def relayed_problem(problem: Mapping[str, Any]) -> ApiError:
    """Another service's problem, to be answered as our own."""
    errors = [FieldError.model_validate(item) for item in problem.get("errors", ())]
    error = ApiError(str(problem["detail"]), code=str(problem["code"]), errors=errors)
    error.status, error.title = int(problem["status"]), str(problem["title"])
    return error


def problem_response(
    status: int,
    code: str,
    title: str,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] = {},
    omitted: int = 0,
) -> Response:
    """The problem+json answer."""
    problem = Problem(
        type=f"urn:feedmill:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        code=code,
        request_id=request_id(),
        errors=list(errors) or None,
        errors_omitted=omitted or None,
    )
    body = problem.model_dump(mode="json", exclude_none=True)
    return JSONResponse(body, status, headers=dict(headers), media_type=PROBLEM_TYPE)


def problem_of(error: ApiError) -> Response:
    """The same, of an error."""
    return problem_response(error.status, error.code, error.title, error.detail, error.errors, error.headers)


_BY_STATUS = {
    404: ("not_found", "No such thing"),
    405: ("method_not_allowed", "Method not allowed"),
}


def _on_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return problem_of(error)


def _on_http_exception(_: Request, error: Exception) -> Response:
    if isinstance(error, BodyError):
        return problem_of(error.error)
    assert isinstance(error, HTTPException)
    code, title = _BY_STATUS.get(error.status_code, ("bad_request", "Bad request"))
    headers = dict(error.headers or {})
    if "GET" in (allowed := headers.get("Allow", "").split(", ")):
        headers["Allow"] = ", ".join(sorted({*allowed, "HEAD"}))
    return problem_response(error.status_code, code, title, str(error.detail), headers=headers)


def _field(location: Sequence[Any]) -> str:
    name = ".".join(str(part) for part in location[1:]) or str(location[0])
    return name if len(name) <= NAME_CHARS else f"{name[:NAME_CHARS]}…"


def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return problem_response(400, "malformed_json", "Bad request", "the body is not valid JSON")
    listed = [fault for fault in faults[:LISTED_ERRORS] if count_of(fault) == 1]
    errors = [FieldError(field=_field(fault["loc"]), message=fault["msg"]) for fault in listed]
    total = sum(count_of(fault) for fault in faults)
    detail = f"{total} field(s) are wrong"
    return problem_response(422, "invalid", InvalidError.title, detail, errors, omitted=total - len(errors))


def _on_no_lease(request: Request, error: Exception) -> Response:
    log.error("no_id_lease", error=repr(error))
    return _on_api_error(request, UnavailableError())


def _on_unexpected(_: Request, error: Exception) -> Response:
    log.error("request_failed", exc_info=error)
    return problem_response(500, ApiError.code, ApiError.title, "something went wrong on our side")


def install_error_handlers(app: FastAPI) -> None:
    """Let every failure leave as problem+json."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(NoLeaseError, _on_no_lease)
    app.add_exception_handler(Exception, _on_unexpected)
