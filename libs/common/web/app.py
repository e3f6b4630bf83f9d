"""Service defaults: one call gives a deployable its HTTP server, health, metrics, errors, auth and background tasks."""

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import FrameType
from typing import Any, TypeVar
from uuid import uuid4

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.asyncio import Redis
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from libs.common.core.context import request_id, set_request_id
from libs.common.core.dependencies import SERVICE_READ, Policy
from libs.common.core.errors import PROBLEM_TYPE, Problem, install_error_handlers, problem_response
from libs.common.core.ids import RENEW_AGAIN_S, RENEW_S, IdMinter, NodeLeaseStore
from libs.common.core.logging import configure_logging, get_logger
from libs.common.core.settings import Settings
from libs.common.core.tracing import configure_tracing
from libs.common.kafka.outbox import Outbox
from libs.common.stores.rate import Limit, Limiter
from libs.common.stores.redis import open_redis
from libs.common.web.auth import ServiceTokens, TokenVerifier
from libs.common.web.client import ServiceClient
from libs.common.web.devices import Devices
from libs.common.web.jwks import RemoteKeys
from libs.common.web.limits import MINUTE_S, RateLimited, RequestLimits
from libs.common.web.middleware import Admission, Bodies, BodySizes, HeadAsGet, RequestContext
from libs.common.web.pagination import Cursors
from libs.common.web.revocation import Shutouts

ReadyCheck = Callable[[], Awaitable[bool]]
READY_DEADLINE_S = 2.0
LEAVE_S = 5.0  # beyond the drain: for background tasks to leave their groups, more than a consumer takes, and to flush
FLUSH_S = 1.0  # for what was committed last; the relay of another process takes the rest
PUBLISHERS = ("outbox-direct", "outbox-relay")
CORS: dict[str, Any] = {
    "allow_methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
    "allow_headers": [
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "If-None-Match",
        "Range",
        "X-Request-Id",
        "X-Device-Type",
        "X-Network-Quality",
    ],
    "expose_headers": [
        "ETag",
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "RateLimit-Reset",
        "Retry-After",
        "X-Cache-Status",
        "X-Feed-Quality",
        "X-Request-Id",
    ],
    "allow_credentials": True,  # of the listed origins alone
    "max_age": 7_200,  # seconds; Chromium keeps a preflight's answer no longer
}
KEEP_ALIVE_S = 75  # longer than nginx (60 s) and the other deployables (15 s) keep a connection that they may use again
log = get_logger(__name__)


class Runtime:
    """What a composition root builds upon. Everything opened on `stack` is closed in reverse order at the end."""

    def __init__(self, name: str, settings: Settings, stack: AsyncExitStack, redis: "Redis") -> None:
        self.name = name
        self.settings = settings
        self.stack = stack
        self.redis = redis
        self.tokens = ServiceTokens(settings.internal_secret.get_secret_value(), name)
        self.cursors = Cursors(settings.cursor_secret.get_secret_value())
        self.ready_checks: dict[str, ReadyCheck] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._outboxes: list[Outbox] = []
        self._clients: dict[tuple[str, Policy], ServiceClient] = {}

    def client(self, service: str, policy: Policy = SERVICE_READ) -> ServiceClient:
        """The client of another service for calls of this kind, closed at the end."""
        if (service, policy) not in self._clients:
            client = ServiceClient(service, self.settings, self.tokens, policy)
            self.stack.push_async_callback(client.close)
            self._clients[service, policy] = client
        return self._clients[service, policy]

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until the end. Should it end before, the process is not live any more and stops itself."""
        task = asyncio.create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(self._on_done)
        self.stack.push_async_callback(self._cancel, task)

    def relay(self, outbox: Outbox) -> None:
        """Publish what is committed. While an event of it waits for too long, requests to write are refused."""
        self._outboxes.append(outbox)
        direct, relay = PUBLISHERS
        self.start(direct, outbox.run_direct())
        self.start(relay, outbox.run_relay())

    def takes_writes(self) -> bool:
        """Whether events get away, so that there may be more of them."""
        return all(outbox.waited_s < self.settings.outbox_wait_s for outbox in self._outboxes)

    async def minter(self, leases: NodeLeaseStore) -> IdMinter:
        """An id minter whose lease is renewed in the background."""
        minter = IdMinter(leases)
        await minter.acquire()

        async def renew() -> None:
            wait_s = RENEW_S
            while True:
                await asyncio.sleep(wait_s)
                try:
                    await minter.renew()
                    wait_s = RENEW_S
                except Exception as error:  # the store is away: mint() refuses once the lease has run out
                    log.warning("id_lease_not_renewed", error=repr(error))
                    wait_s = RENEW_AGAIN_S

        self.start("id-lease", renew())
        return minter

    def live(self) -> bool:
        """Whether every background task still runs."""
        return not any(task.done() for task in self._tasks.values())

    async def readiness(self) -> dict[str, bool]:
        """The answer of each readiness check."""

        async def ask(check: ReadyCheck) -> bool:
            try:
                async with asyncio.timeout(READY_DEADLINE_S):
                    return await check()
            except Exception as error:
                log.warning("readiness_check_failed", error=repr(error))
                return False

        answers = await asyncio.gather(*(ask(check) for check in self.ready_checks.values()))
        return dict(zip(self.ready_checks, answers, strict=True))

    async def drain(self, left_s: float) -> None:
        """Let all background tasks finish what they have in hand, side by side; who takes longer is broken off.

        Those that publish come last, as the others may still commit something.
        """
        publishers = {task for name, task in self._tasks.items() if name in PUBLISHERS}
        await _finish(set(self._tasks.values()) - publishers, left_s - FLUSH_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await asyncio.gather(*(outbox.flush() for outbox in self._outboxes))
        await _finish(publishers, FLUSH_S)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.error(
                "background_task_ended", task=task.get_name(), error=repr(task.exception()), exc_info=task.exception()
            )
            signal.raise_signal(signal.SIGTERM)

    @staticmethod
    async def _cancel(task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _finish(tasks: Collection[asyncio.Task[None]], left_s: float) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=left_s)
        for task in late:
            log.warning("background_task_broken_off", task=task.get_name())
            task.cancel()


Compose = Callable[[FastAPI, Runtime], Awaitable[None]]


def _health_router(runtime_of: Callable[[], Runtime | None]) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/health/live")
    async def live() -> Response:
        runtime = runtime_of()
        alive = runtime is not None and runtime.live()
        return JSONResponse({"live": alive}, 200 if alive else 503)

    @router.get("/health/ready")
    async def ready(request: Request) -> Response:
        runtime = runtime_of()
        checks = await runtime.readiness() if runtime else {"started": False}
        if request.app.state.stop_by is not None:
            checks["stays"] = False
        return JSONResponse({"ready": all(checks.values()), "checks": checks}, 200 if all(checks.values()) else 503)

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


def _request_limits(redis: "Redis", settings: Settings, rules: Mapping[str, Limit] | None) -> RequestLimits:
    """All deployables count the requests of a person, and of an address, together."""
    limiter = Limiter(redis, settings.redis_prefix("rate"), lifted=not settings.rate_limits or rules is None)
    person = Limit("requests", settings.requests_a_minute, MINUTE_S)
    address = Limit("requests", settings.address_requests_a_minute, MINUTE_S, of_address=True)
    return RequestLimits(limiter, person, address, rules or {}, settings.patience)


def create_app(
    name: str,
    settings: Settings,
    compose: Compose,
    routers: Sequence[APIRouter] = (),
    body_sizes: Mapping[str, int] | None = None,
    shortcut: Callable[[ASGIApp], ASGIApp] | None = None,
    limits: Mapping[str, Limit] | None = None,
) -> FastAPI:
    """The ASGI application of a deployable.

    Args:
        name: the deployable, such as `user`.
        settings: its settings.
        compose: opens stores, wires the service and puts what routes need on `app.state`.
        routers: public routes and those under `/internal`.
        body_sizes: path (or a prefix that ends with /) → bytes, for the routes that take another size than JSON bodies.
        shortcut: ASGI middleware that may answer before the routes do, and counts what it answers.
        limits: `METHOD /path/{template}` → the route's own limit; without it no request is counted.
    """
    running: list[Runtime] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            redis = await stack.enter_async_context(open_redis(settings))
            runtime = Runtime(name, settings, stack, redis)
            app.state.takes_writes = runtime.takes_writes
            app.state.request_limits = _request_limits(redis, settings, limits)
            stack.push_async_callback(app.state.request_limits.close)
            app.state.cursors = runtime.cursors
            app.state.service_tokens = runtime.tokens
            app.state.token_verifier = TokenVerifier(RemoteKeys(runtime.client("user")), Shutouts(redis, settings))
            await compose(app, runtime)
            running.append(runtime)
            log.info("started", port=settings.port, pid=os.getpid())
            yield
            running.clear()
            log.info("stopping")
            stop_by = app.state.stop_by or time.monotonic() + settings.drain_s
            await runtime.drain(max(0.0, stop_by - time.monotonic()) + LEAVE_S)

    errors: dict[int | str, dict[str, Any]] = {
        "4XX": {"model": Problem, "description": "The caller's to mend", "content": {"application/problem+json": {}}},
        "5XX": {"model": Problem, "description": "Ours to mend", "content": {"application/problem+json": {}}},
    }
    app = FastAPI(
        title=f"Feedmill {name}",
        version="1",
        lifespan=lifespan,
        responses=errors,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,  # it would go where the Host header says, without TLS
        generate_unique_id_function=lambda route: route.name,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # RequestContext has them, with our names
    )
    app.state.stop_by = None
    install_error_handlers(app)
    for router in (*routers, _health_router(lambda: running[0] if running else None)):
        app.include_router(router)
    sizes = BodySizes(body_sizes or {})
    app.add_middleware(Bodies, sizes=sizes)
    if limits is not None:
        app.add_middleware(RateLimited)
    if shortcut is not None:
        app.add_middleware(shortcut)
    app.add_middleware(Devices)
    app.add_middleware(Admission, settings=settings, sizes=sizes)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins.split(","), **CORS)
    app.add_middleware(RequestContext)
    app.add_middleware(HeadAsGet)
    return app


class _HttpProtocol(HttpToolsProtocol):
    """Refuses what is not HTTP in the form of all other problems."""

    def send_400_response(self, msg: str) -> None:
        set_request_id(uuid4().hex)
        body = bytes(problem_response(400, "bad_request", "Bad request", msg).body)
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {PROBLEM_TYPE}\r\ncontent-length: {len(body)}\r\n"
        head += f"x-request-id: {request_id()}\r\n"
        self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
        self.transport.close()


class _Server(uvicorn.Server):
    """Told to stop, it goes on for `linger_s`, but is not ready: whoever sends requests here can turn away in time."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, settings: Settings) -> None:
        super().__init__(config)
        self._state = app.state
        self._settings = settings
        self._told: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._told is not None:  # told twice: now
            super().handle_exit(sig, frame)
            return
        self._told = sig
        self._state.stop_by = time.monotonic() + self._settings.linger_s + self._settings.drain_s

    async def on_tick(self, counter: int) -> bool:
        if self._told is not None and time.monotonic() >= self._state.stop_by - self._settings.drain_s:
            super().handle_exit(self._told, None)
        return await super().on_tick(counter)


S = TypeVar("S", bound=Settings)


def run(
    name: str,
    settings_type: type[S],
    build: Callable[[S], FastAPI],
    migrate: Callable[[S], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """The command line of a deployable: `python -m services.user [serve|migrate]`."""
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("command", nargs="?", choices=["serve", "migrate"], default="serve")
    command = parser.parse_args().command
    settings = settings_type()
    configure_logging(name, settings.log_level)
    configure_tracing(name)
    if command == "migrate":
        started = time.monotonic()
        if migrate is not None:
            asyncio.run(migrate(settings))
        log.info("migrated", seconds=round(time.monotonic() - started, 2))
        return
    app = build(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=_HttpProtocol,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.drain_s),
    )
    server = _Server(config, app, settings)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(1)
