"""Pure ASGI middleware: the request's id, trace, log line and metric; bounds on load, time and bodies."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from uuid import uuid4

from opentelemetry import propagate, trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.core.context import Caller, caller, set_caller, set_deadline, set_request_id
from libs.common.core.errors import (
    ApiError,
    DeadlineError,
    EncodedBodyError,
    OverloadedError,
    SlowBodyError,
    TooLargeError,
)
from libs.common.core.fairness import CallerShares, FairSemaphore, Slot
from libs.common.core.logging import get_logger
from libs.common.core.settings import Settings
from libs.common.web.auth import ServiceTokens, TokenVerifier, bearer_token
from libs.common.web.client import CALLER_HEADER, DEADLINE_HEADER
from libs.common.web.limits import client_address
from libs.common.web.metrics import HTTP_SECONDS, SHED
from libs.common.web.problems import BodyError, problem_of

JSON_BODY_BYTES = 256 * 1024
BODY_BYTES, BODY_S = 10 * 1024 * 1024, 120.0  # the largest picture has two minutes; more bytes have as many more
MIN_BYTES_A_SECOND = 16 * 1024  # what the slowest mobile networks send (128 kbit/s)
GRACE_S = 10.0  # without a byte, as the gateway waits
# Parts of what a process works on at once. A rate of 10,000 a minute is 17 at once if each takes 100 ms.
ACCOUNT_PART, ADDRESS_PART = 16, 8
UPLOADS_AN_ACCOUNT, UPLOADS_AN_ADDRESS = 4, 16  # bodies of megabytes: more at once make none of them faster
PUBLIC = "/v1/"
UNOBSERVED = ("/health/", "/metrics")
INTERNAL = ("/internal/", "/.well-known/")  # what deployables ask of one another
PLACE = "feedmill.place"
CALLER = CALLER_HEADER.lower().encode()
_DEADLINE = DEADLINE_HEADER.lower().encode()
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
_tracer = trace.get_tracer("feedmill.http")
log = get_logger(__name__)


def header(scope: Scope, name: bytes) -> bytes:
    """The first value; empty when there is none."""
    return next((value for key, value in scope["headers"] if key == name), b"")


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


class HeadAsGet:
    """Answers HEAD wherever GET is answered: the same headers, no body (RFC 9110 §9.3.2)."""

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
    """Takes or makes the request id, continues the trace, measures. No cache keeps an answer that does not allow it."""

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
                if scope["path"].startswith(PUBLIC) and not any(
                    name == b"cache-control" for name, _ in message["headers"]
                ):
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        with _tracer.start_as_current_span(f"{scope['method']} {scope['path']}", propagate.extract(headers)):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                seconds = time.perf_counter() - started
                route = getattr(scope.get("route"), "path", "unmatched")
                HTTP_SECONDS.labels(scope["method"], route, str(status)).observe(seconds)
                log.info("request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 2))


class BodySizeLimits:
    """How many bytes a body may have.

    Args:
        own: path, or a prefix that ends with /, → bytes, for routes that take more or less than a JSON body.
    """

    def __init__(self, own: Mapping[str, int]) -> None:
        self._own = tuple(own.items())

    def limit(self, scope: Scope) -> int:
        """Of this request. JSON is never large, whatever else the route takes."""
        path: str = scope["path"]
        named = (size for name, size in self._own if _is_under(path, name))
        limit = next(named, JSON_BODY_BYTES)
        return min(limit, JSON_BODY_BYTES) if header(scope, b"content-type").startswith(b"application/json") else limit

    def is_large(self, scope: Scope) -> bool:
        """Whether the gateway passes the body on as it comes, at the speed of the client."""
        return self.limit(scope) > JSON_BODY_BYTES


class AdmissionControl:
    """Refuses, before any work, what exceeds the capacity of the process or the caller's share of it (ADR 12).

    Also what comes too late for whoever asked, and requests to write while their events have nowhere to go. Calls of
    other deployables have capacity of their own, and so have bodies that clients are still sending.
    """

    def __init__(self, app: ASGIApp, settings: Settings, sizes: BodySizeLimits, eventless: Sequence[str] = ()) -> None:
        self._app = app
        self._sizes = sizes
        self._eventless = eventless
        slots, limited = settings.max_in_flight, settings.rate_limits

        def gate(name: str, account: int, address: int) -> FairSemaphore:
            return FairSemaphore(name, slots, CallerShares(max(1, account), max(1, address)).if_limited(limited))

        self._public = gate("public", slots // ACCOUNT_PART, slots // ADDRESS_PART)
        # one request makes several calls, and requests of all services meet here
        self._internal = gate("internal", slots // 4, slots // 2)
        self._receiving = gate("receiving", UPLOADS_AN_ACCOUNT, UPLOADS_AN_ADDRESS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNOBSERVED):
            await self._app(scope, receive, send)
            return
        after_s, started, places = _after_s(scope), False, list[Slot]()

        async def send_and_tell(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if after_s is not None:
                set_deadline(after_s)
            async with asyncio.timeout(after_s):
                if (refused := await self._refusal(scope, after_s, places)) is not None:
                    SHED.inc()
                    scope["app"].state.request_limits.count_later(scope)
                    await problem_of(refused)(scope, receive, send_and_tell)
                    return
                await self._app(scope, self._receive(scope, receive, places), send_and_tell)
        except TimeoutError:
            if started:
                raise
            await problem_of(DeadlineError())(scope, receive, send)
        finally:
            for place in places:
                place.release()

    async def _refusal(self, scope: Scope, after_s: float | None, places: list[Slot]) -> ApiError | None:
        """Why the request is not admitted; else None, and its place is among `places`."""
        if after_s == 0:
            return DeadlineError()
        if not (self._publishes_nothing(scope) or scope["app"].state.accepts_writes()):
            return OverloadedError()
        try:
            await self._admit(scope, places)
        except ApiError as error:
            return error
        return None

    def _publishes_nothing(self, scope: Scope) -> bool:
        """Whether the request causes no event. Reads of other deployables are POST, too."""
        path = scope["path"]
        is_eventless = not path.startswith(PUBLIC) or any(_is_under(path, name) for name in self._eventless)
        return is_eventless or scope["method"] in ("GET", "HEAD", "OPTIONS")

    async def _admit(self, scope: Scope, places: list[Slot]) -> None:
        if _is_internal(scope):
            set_caller(who := Caller.parse(header(scope, CALLER).decode("latin-1")))
            places.append(await self._internal.acquire(who))
            return
        address = client_address(scope)
        gate = self._receiving if self._sizes.is_large(scope) else self._public
        place = scope[PLACE] = await gate.acquire(Caller(None, address))
        places.append(place)
        if (account := await _account(scope)) is not None:
            place.charge(account)
        set_caller(Caller(account, address))

    def _receive(self, scope: Scope, receive: Receive, places: list[Slot]) -> Receive:
        """For a large body: once all of it is there, the request takes a place among those that work."""
        if _is_internal(scope) or not self._sizes.is_large(scope):
            return receive
        who = caller()

        async def receive_and_move() -> Message:
            message = await receive()
            if len(places) == 1 and message["type"] == "http.request" and not message.get("more_body"):
                try:
                    places.append(await self._public.acquire(who))
                except ApiError as error:
                    raise BodyError(error) from error
                places[0].release()
            return message

        return receive_and_move


def charge_slot(scope: Scope, account: int) -> None:
    """Count the request for this account, too, where no token says so. Raises TooManyInProgressError."""
    if (place := scope.get(PLACE)) is not None:
        place.charge(account)


async def _account(scope: Scope) -> int | None:
    """Whose token it is; a bad one is nobody's."""
    if (token := bearer_token(scope)) is None:
        return None
    verifier: TokenVerifier = scope["app"].state.token_verifier
    try:
        return (await verifier.signed(token)).user_id
    except ApiError:
        return None


def _is_internal(scope: Scope) -> bool:
    """Whether another deployable calls. Anybody else at such a path is a caller like any other."""
    token = bearer_token(scope) if scope["path"].startswith(INTERNAL) else None
    tokens: ServiceTokens = scope["app"].state.service_tokens
    try:
        return token is not None and bool(tokens.verify(token))
    except ApiError:
        return False


def _is_under(path: str, name: str) -> bool:
    """Whether `name` is the path, or a prefix of it that ends with /."""
    return path == name or (name[-1] == "/" and path.startswith(name))


def _after_s(scope: Scope) -> float | None:
    """How long the caller waits, if it says so."""
    raw = header(scope, _DEADLINE)
    return int(raw) / 1_000 if raw.isdigit() and len(raw) < 10 else None


class BodyChecks:
    """Refuses a body that is encoded, larger than its route takes, or sent too slowly."""

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
    """Raises BodyError when more comes, or too slowly. Only the time that is spent waiting for the client counts."""
    seen, waited_s, ended = 0, 0.0, False

    async def bounded_receive() -> Message:
        nonlocal seen, waited_s, ended
        if ended:
            return await receive()
        may_wait_s = min(GRACE_S + seen / MIN_BYTES_A_SECOND, BODY_S * (1 + seen // BODY_BYTES))
        began = time.monotonic()
        try:
            async with asyncio.timeout(may_wait_s - waited_s):
                message = await receive()
        except TimeoutError as error:
            raise BodyError(SlowBodyError()) from error
        waited_s += time.monotonic() - began
        seen += len(message.get("body", b""))
        ended = not message.get("more_body", False)
        if seen > limit:
            raise BodyError(_too_large(limit))
        return message

    return bounded_receive
