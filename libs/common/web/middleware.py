"""ASGI middleware: request id, trace, access log and metrics; limits of load, time and bodies."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from uuid import uuid4

from opentelemetry.trace import Span, SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.core.context import Caller, caller, set_caller, set_deadline, set_request_id
from libs.common.core.errors import (
    ApiError,
    DeadlineError,
    EncodedBodyError,
    OverloadedError,
    SlowBodyError,
    TooLargeError,
    UnavailableError,
)
from libs.common.core.fairness import CallerShares, FairSemaphore, Slot
from libs.common.core.logging import get_logger
from libs.common.core.settings import Settings
from libs.common.web.auth import ServiceTokens, TokenVerifier, bearer_token
from libs.common.web.client import CALLER_HEADER, DEADLINE_HEADER
from libs.common.web.limits import client_address
from libs.common.web.problems import BodyError, problem_of
from libs.telemetry.metrics import counter, exemplar, gauge, histogram
from libs.telemetry.tracing import mark_failed, remote_span

JSON_BODY_BYTES = 256 * 1024
BODY_BYTES, BODY_S = 10 * 1024 * 1024, 120.0  # each 10 MB, the size of the largest picture, may take two minutes
MIN_BYTES_A_SECOND = 16 * 1024  # the slowest mobile networks (128 kbit/s)
GRACE_S = 10.0  # a client may send nothing for this time; the gateway waits as long
# A caller may use 1/16 (account) or 1/8 (address) of the slots. 10,000 requests a minute of 100 ms use 17 slots.
ACCOUNT_PART, ADDRESS_PART = 16, 8
UPLOADS_AN_ACCOUNT, UPLOADS_AN_ADDRESS = 4, 16  # concurrent uploads; more would only slow each other down
PUBLIC = "/v1/"
UNOBSERVED = ("/health/", "/metrics")
INTERNAL = ("/internal/", "/.well-known/")  # routes for other deployables
IDS_OF_CONTENT = frozenset(("post_id", "comment_id", "media_id"))  # the other parameters of paths are about users
SLOT = "feedmill.slot"
CALLER = CALLER_HEADER.lower().encode()
_DEADLINE = DEADLINE_HEADER.lower().encode()
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
HTTP_SECONDS = histogram("feedmill_http_request_seconds")
IN_FLIGHT = gauge("feedmill_http_requests_in_flight")
SHED = counter("feedmill_http_refused_total")
log = get_logger(__name__)


def header(scope: Scope, name: bytes) -> bytes:
    """The first value of the header; empty if there is none."""
    return next((value for key, value in scope["headers"] if key == name), b"")


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


class HeadAsGet:
    """Answers HEAD for all GET routes: the same headers, no body (RFC 9110 §9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, send_head)


class RequestContext:
    """Sets the request id, continues the trace, logs and measures. Forbids caching unless the answer allows it."""

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
        started, status, sent_bytes, client_s = time.perf_counter(), 500, 0, 0.0

        async def receive_and_time() -> Message:
            nonlocal client_s
            begun = time.perf_counter()
            message = await receive()
            if message["type"] == "http.request":
                client_s += time.perf_counter() - begun
            return message

        async def send_with_id(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", rid.encode())]
                if scope["path"].startswith(PUBLIC) and not any(
                    name == b"cache-control" for name, _ in message["headers"]
                ):
                    message["headers"].append((b"cache-control", b"no-store"))
            else:
                sent_bytes += len(message.get("body", b""))
            await send(message)

        with remote_span(scope["method"], SpanKind.SERVER, headers.get("traceparent")) as span:
            IN_FLIGHT.inc()
            try:
                await self._app(scope, receive_and_time, send_with_id)
            finally:
                IN_FLIGHT.dec()
                seconds = max(0.0, time.perf_counter() - started - client_s)  # an upload is as fast as its client
                route = getattr(scope.get("route"), "path", "unmatched")
                HTTP_SECONDS.labels(scope["method"], route, str(status)).observe(seconds, exemplar())
                if span.is_recording():
                    _describe(span, scope, rid, route, status)
                log.info(
                    "request",
                    method=scope["method"],
                    route=route,
                    status=status,
                    ms=round(seconds * 1000, 2),
                    bytes_in=_size(headers),
                    bytes_out=sent_bytes,
                )


def _describe(span: Span, scope: Scope, rid: str, route: str, status: int) -> None:
    """Complete the span of a request. Its path has no ids of users, no names and no secrets of media."""
    path = route
    for name, value in scope.get("path_params", {}).items():
        if name in IDS_OF_CONTENT:
            path = path.replace(f"{{{name}}}", str(value))
    span.update_name(f"{scope['method']} {route}")
    span.set_attributes(
        {
            "http.request.method": scope["method"],
            "http.route": route,
            "url.path": path,
            "url.scheme": scope["scheme"],
            "http.response.status_code": status,
            "feedmill.request.id": rid,
        }
    )
    if status >= 500:
        mark_failed(span, str(status))


def _size(headers: Mapping[str, str]) -> int:
    """The announced size of a body in bytes; 0 without one."""
    announced = headers.get("content-length", "")
    return int(announced) if announced.isdigit() else 0


class BodySizeLimits:
    """The largest size of request bodies, in bytes.

    Args:
        own: path, or a prefix that ends with /, → bytes, for routes whose limit is not that of JSON bodies.
    """

    def __init__(self, own: Mapping[str, int]) -> None:
        self._own = tuple(own.items())

    def limit(self, scope: Scope) -> int:
        """The limit for this request. JSON bodies are limited to JSON_BODY_BYTES on all routes."""
        path: str = scope["path"]
        named = (size for name, size in self._own if _is_under(path, name))
        limit = next(named, JSON_BODY_BYTES)
        return min(limit, JSON_BODY_BYTES) if header(scope, b"content-type").startswith(b"application/json") else limit

    def is_large(self, scope: Scope) -> bool:
        """True for uploads, which the gateway does not buffer, so that they arrive at the speed of the client."""
        return self.limit(scope) > JSON_BODY_BYTES


class Started:
    """Refuses requests, except those of operators and probes, until the deployable has opened its stores."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_refused = scope["type"] == "http" and not scope["path"].startswith(UNOBSERVED)
        if is_refused and not scope["app"].state.has_started():
            await problem_of(UnavailableError())(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class AdmissionControl:
    """Refuses requests before any work if the process or the caller's share is at capacity (ADR 12).

    It also refuses requests whose deadline has passed, and writes while their events can't be published. Calls of other
    deployables have separate capacity, and so have uploads that are being received.
    """

    def __init__(self, app: ASGIApp, settings: Settings, sizes: BodySizeLimits, eventless: Sequence[str] = ()) -> None:
        self._app = app
        self._sizes = sizes
        self._eventless = eventless
        slots, limited = settings.max_in_flight, settings.rate_limits

        def semaphore(name: str, account: int, address: int) -> FairSemaphore:
            return FairSemaphore(name, slots, CallerShares(max(1, account), max(1, address)).if_limited(limited))

        self._public = semaphore("public", slots // ACCOUNT_PART, slots // ADDRESS_PART)
        # Larger shares, because one public request makes several internal calls, from several services.
        self._internal = semaphore("internal", slots // 4, slots // 2)
        self._receiving = semaphore("receiving", UPLOADS_AN_ACCOUNT, UPLOADS_AN_ADDRESS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNOBSERVED):
            await self._app(scope, receive, send)
            return
        timeout_s, started, slots = _timeout_s(scope), False, list[Slot]()

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if timeout_s is not None:
                set_deadline(timeout_s)
            async with asyncio.timeout(timeout_s):
                if (refused := await self._refusal(scope, timeout_s, slots)) is not None:
                    SHED.inc()
                    scope["app"].state.request_limits.count_later(scope)
                    await problem_of(refused)(scope, receive, send_and_note)
                    return
                await self._app(scope, self._receive(scope, receive, slots), send_and_note)
        except TimeoutError:
            if started:
                raise
            await problem_of(DeadlineError())(scope, receive, send)
        finally:
            for slot in slots:
                slot.release()

    async def _refusal(self, scope: Scope, timeout_s: float | None, slots: list[Slot]) -> ApiError | None:
        """The reason to refuse the request; None if it is admitted, and then its slot is added to `slots`."""
        if timeout_s == 0:
            return DeadlineError()
        if not (self._publishes_nothing(scope) or scope["app"].state.accepts_writes()):
            return OverloadedError()
        try:
            await self._admit(scope, slots)
        except ApiError as error:
            return error
        return None

    def _publishes_nothing(self, scope: Scope) -> bool:
        """True if the request causes no event. Internal routes count as reads, also with POST."""
        path = scope["path"]
        is_eventless = not path.startswith(PUBLIC) or any(_is_under(path, name) for name in self._eventless)
        return is_eventless or scope["method"] in ("GET", "HEAD", "OPTIONS")

    async def _admit(self, scope: Scope, slots: list[Slot]) -> None:
        if _is_internal(scope):
            set_caller(original := Caller.parse(header(scope, CALLER).decode("latin-1")))
            slots.append(await self._internal.acquire(original))
            return
        address = client_address(scope)
        semaphore = self._receiving if self._sizes.is_large(scope) else self._public
        slot = scope[SLOT] = await semaphore.acquire(Caller(None, address))
        slots.append(slot)
        if (account := await _account(scope)) is not None:
            slot.charge(account)
        set_caller(Caller(account, address))

    def _receive(self, scope: Scope, receive: Receive, slots: list[Slot]) -> Receive:
        """A `receive` that moves an upload, once it is complete, from the receiving slots to the public ones."""
        if _is_internal(scope) or not self._sizes.is_large(scope):
            return receive
        current = caller()

        async def receive_and_move() -> Message:
            message = await receive()
            if len(slots) == 1 and message["type"] == "http.request" and not message.get("more_body"):
                try:
                    slots.append(await self._public.acquire(current))
                except ApiError as error:
                    raise BodyError(error) from error
                slots[0].release()
            return message

        return receive_and_move


def charge_slot(scope: Scope, account: int) -> None:
    """Count the request against this account, on routes without a token. Raises TooManyInProgressError."""
    if (slot := scope.get(SLOT)) is not None:
        slot.charge(account)


async def _account(scope: Scope) -> int | None:
    """The user of the token; None if there is none or it is invalid."""
    if (token := bearer_token(scope)) is None:
        return None
    verifier: TokenVerifier = scope["app"].state.token_verifier
    try:
        return (await verifier.signed(token)).user_id
    except ApiError:
        return None


def _is_internal(scope: Scope) -> bool:
    """True for a call with a valid service token to an internal path. Other calls there count as public ones."""
    token = bearer_token(scope) if scope["path"].startswith(INTERNAL) else None
    tokens: ServiceTokens = scope["app"].state.service_tokens
    try:
        return token is not None and bool(tokens.verify(token))
    except ApiError:
        return False


def _is_under(path: str, name: str) -> bool:
    """True if `name` is the path, or a prefix of it that ends with /."""
    return path == name or (name[-1] == "/" and path.startswith(name))


def _timeout_s(scope: Scope) -> float | None:
    """The time that the caller waits, from its header; None without one."""
    raw = header(scope, _DEADLINE)
    return int(raw) / 1_000 if raw.isdigit() and len(raw) < 10 else None


class BodyChecks:
    """ASGI middleware that refuses bodies that are encoded, too large for their route, or sent too slowly."""

    def __init__(self, app: ASGIApp, sizes: BodySizeLimits) -> None:
        self._app = app
        self._sizes = sizes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit, announced = self._sizes.limit(scope), header(scope, b"content-length")
        if header(scope, b"content-encoding").lower() not in (b"", b"identity"):
            await problem_of(EncodedBodyError())(scope, receive, send)
        elif announced.isdigit() and int(announced) > limit:
            await problem_of(_too_large(limit))(scope, receive, send)
        else:
            await self._app(scope, _bounded(receive, limit), send)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"The body can have at most {limit} bytes.")


def _bounded(receive: Receive, limit: int) -> Receive:
    """A `receive` that raises BodyError if the body is too large or too slow. Only time spent in `receive` counts."""
    seen, waited_s, ended = 0, 0.0, False

    async def bounded_receive() -> Message:
        nonlocal seen, waited_s, ended
        if ended:
            return await receive()
        may_wait_s = min(GRACE_S + seen / MIN_BYTES_A_SECOND, BODY_S * (1 + seen // BODY_BYTES))
        started = time.monotonic()
        try:
            async with asyncio.timeout(may_wait_s - waited_s):
                message = await receive()
        except TimeoutError as error:
            raise BodyError(SlowBodyError()) from error
        waited_s += time.monotonic() - started
        seen += len(message.get("body", b""))
        ended = not message.get("more_body", False)
        if seen > limit:
            raise BodyError(_too_large(limit))
        return message

    return bounded_receive
