"""Pure ASGI middleware: the request's id, trace, log line and metric; bounds on load, time and bodies."""

import asyncio
import re
import time
from collections.abc import Mapping
from uuid import uuid4

from opentelemetry import propagate, trace
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.runtime.context import set_deadline, set_request_id
from libs.common.runtime.errors import DeadlineError, OverloadedError, TooLargeError, problem_of
from libs.common.runtime.http import DEADLINE_HEADER
from libs.common.runtime.logging import get_logger
from libs.common.runtime.metrics import HTTP_SECONDS, SHED

JSON_BODY_BYTES = 256 * 1024
SIGNING_IN, REGISTERING = "/v1/auth/", "/v1/auth/register"
UNOBSERVED = ("/health/", "/metrics")
_DEADLINE = DEADLINE_HEADER.lower().encode()
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
_tracer = trace.get_tracer("feedmill.http")
log = get_logger(__name__)


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


class RequestContext:
    """Takes or makes the request id, continues the trace, measures."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNOBSERVED):
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        given = headers.get("x-request-id", "")
        rid = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        set_request_id(rid)
        started, status = time.perf_counter(), 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", rid.encode())]
            await send(message)

        with _tracer.start_as_current_span(f"{scope['method']} {scope['path']}", propagate.extract(headers)):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                seconds = time.perf_counter() - started
                route = getattr(scope.get("route"), "path", "unmatched")
                HTTP_SECONDS.labels(scope["method"], route, str(status)).observe(seconds)
                log.info("request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 2))


class Admission:
    """Refuses, before any work, what comes while `limit` requests are under way, or too late for whoever asks.

    And requests to write while their events have nowhere to go.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNOBSERVED):
            await self._app(scope, receive, send)
            return
        after_s = _after_s(scope)
        has_room = self._under_way < self._limit and (_only_reads(scope) or scope["app"].state.takes_writes())
        if after_s == 0 or not has_room:
            SHED.inc()
            scope["app"].state.request_limits.count_later(scope)
            await problem_of(DeadlineError() if after_s == 0 else OverloadedError())(scope, receive, send)
            return
        started = False

        async def send_and_tell(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        self._under_way += 1
        try:
            if after_s is not None:
                set_deadline(after_s)
            async with asyncio.timeout(after_s):
                await self._app(scope, receive, send_and_tell)
        except TimeoutError:
            if started:
                raise
            await problem_of(DeadlineError())(scope, receive, send)
        finally:
            self._under_way -= 1


def _only_reads(scope: Scope) -> bool:
    """Whether it makes no event. Signing in makes none, nor do the questions of deployables, which are POST, too."""
    path = scope["path"]
    makes_none = not path.startswith("/v1/") or (path.startswith(SIGNING_IN) and path != REGISTERING)
    return makes_none or scope["method"] in ("GET", "HEAD", "OPTIONS")


def _after_s(scope: Scope) -> float | None:
    """How long the caller waits, if it says so."""
    raw = next((value for name, value in scope["headers"] if name == _DEADLINE), b"")
    return int(raw) / 1_000 if raw.isdigit() and len(raw) < 10 else None


class BodyLimit:
    """Refuses a body over its route's limit, whether its length is announced or not."""

    def __init__(self, app: ASGIApp, large_bodies: Mapping[str, int]) -> None:
        self._app = app
        self._large = tuple(large_bodies.items())

    def _limit(self, path: str) -> int:
        """A name that ends with / stands for all below it, another one for itself."""
        named = (size for name, size in self._large if path == name or (name[-1] == "/" and path.startswith(name)))
        return next(named, JSON_BODY_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit, seen = self._limit(scope["path"]), 0
        announced = _headers(scope).get("content-length", "0")
        if announced.isdigit() and int(announced) > limit:
            await problem_of(TooLargeError(f"at most {limit} bytes"))(scope, receive, send)
            return

        async def bounded_receive() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                # not our own error: FastAPI turns all others that break the reading of a body into 400
                raise HTTPException(TooLargeError.status, f"at most {limit} bytes")
            return message

        await self._app(scope, bounded_receive, send)
