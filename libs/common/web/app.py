"""Service defaults: the ASGI application of a deployable with health, metrics, errors, auth and background tasks."""

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI, Request
from redis.asyncio import Redis
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from libs.common.core.logging import get_logger
from libs.common.core.settings import Settings
from libs.common.stores.hot_keys import HotKeys
from libs.common.stores.rate import RateLimit, RateLimiter
from libs.common.stores.redis import open_redis
from libs.common.web.auth import TokenVerifier
from libs.common.web.devices import Devices
from libs.common.web.health import health_router
from libs.common.web.jwks import RemoteKeys
from libs.common.web.limits import MINUTE_S, RateLimited, RequestLimits
from libs.common.web.middleware import AdmissionControl, BodyChecks, BodySizeLimits, HeadAsGet, RequestContext, Started
from libs.common.web.problems import Problem, install_error_handlers
from libs.common.web.revocation import RedisRevokedSessions
from libs.common.web.runtime import LEAVE_S, Runtime
from libs.common.web.start import open_or_wait
from libs.telemetry.tracing import flush_spans

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
    "allow_credentials": True,  # only for the configured origins
    "max_age": 7_200,  # seconds; the longest time for which Chromium caches a preflight
}
log = get_logger(__name__)
S = TypeVar("S", bound=Settings)
Compose = Callable[[Runtime[S]], Awaitable[object]]
"""Opens stores, starts consumers and returns the use cases; routes find them with `use_cases`."""


def _request_limits(redis: "Redis", settings: Settings, rules: Mapping[str, RateLimit] | None) -> RequestLimits:
    """The limits of a deployable. The limits per user and per address hold for all deployables together."""
    limiter = RateLimiter(redis, settings.redis_prefix("rate"), disabled=not settings.rate_limits or rules is None)
    user = RateLimit("requests", settings.requests_a_minute, MINUTE_S)
    address = RateLimit("requests", settings.address_requests_a_minute, MINUTE_S, per_address=True)
    return RequestLimits(limiter, user, address, rules or {}, settings.timeout_factor)


async def use_cases(request: Request) -> Any:
    """FastAPI dependency: what the deployable's `compose` returned."""
    return request.app.state.use_cases


def create_app(
    name: str,
    settings: S,
    compose: Compose[S],
    routers: Sequence[APIRouter] = (),
    *,
    body_limits: Mapping[str, int] = {},
    eventless: Sequence[str] = (),
    limits: Mapping[str, RateLimit] | None = None,
    middleware: Callable[[ASGIApp], ASGIApp] | None = None,
    urls: Mapping[str, str] = {},
    groups: Mapping[str, tuple[str, ...]] = {},
    migrations: Sequence[str] = (),
) -> FastAPI:
    """The ASGI application of a deployable.

    While a store that it needs is unavailable at the start, it answers 503, is live and not ready, and tries again.

    Args:
        name: the deployable's name, such as `user`.
        settings: its settings.
        compose: see `Compose`.
        routers: public routes and those under `/internal`.
        body_limits: path, or a prefix that ends with /, → bytes, where the limit is not that of JSON bodies.
        eventless: paths, or prefixes that end with /, whose writes publish no events, so they do not need Kafka.
        limits: `METHOD /path/{template}` → the route's own rate limit; None turns all limits off.
        middleware: ASGI middleware that may answer before the routes.
        urls: service name → URL.
        groups: consumer group → topics.
        migrations: names of those that its own store must have.
    """
    running: list[Runtime[S]] = []

    async def open_runtime(app: FastAPI) -> AsyncExitStack:
        """Open everything, or nothing. Raises UnavailableError while a store is not ready for this process."""
        stack = AsyncExitStack()
        try:
            redis = await stack.enter_async_context(open_redis(settings))
            runtime = Runtime(name, settings, stack, redis, urls, groups, migrations)
            app.state.accepts_writes = runtime.accepts_writes
            app.state.request_limits = _request_limits(redis, settings, limits)
            stack.push_async_callback(app.state.request_limits.close)
            app.state.settings = settings
            app.state.cursors = runtime.cursors
            app.state.service_tokens = runtime.tokens
            if "user" in urls:
                keys = RemoteKeys(runtime.client("user"))
                runtime.token_verifier = TokenVerifier(keys, RedisRevokedSessions(redis, settings))
            app.state.use_cases = await compose(runtime)
            app.state.token_verifier = runtime.token_verifier
            runtime.check_complete()
            runtime.start("hot-keys", HotKeys(redis, settings.namespace).run())
            running.append(runtime)
            runtime.start("checks", runtime.export_checks())
            log.info("started", port=settings.port, pid=os.getpid())
        except BaseException:
            running.clear()
            await stack.aclose()
            raise
        return stack

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(flush_spans)  # here, because uvicorn ends the process by a signal
            await open_or_wait(partial(open_runtime, app), stack)
            yield
            log.info("stopping")
            if running:
                runtime = running.pop()
                stop_by = app.state.stop_by or time.monotonic() + settings.drain_s
                await runtime.drain(max(0.0, stop_by - time.monotonic()) + LEAVE_S)

    errors: dict[int | str, dict[str, Any]] = {
        "4XX": {"model": Problem, "description": "Client error", "content": {"application/problem+json": {}}},
        "5XX": {"model": Problem, "description": "Server error", "content": {"application/problem+json": {}}},
    }
    app = FastAPI(
        title=f"Feedmill {name}",
        version="1",
        lifespan=lifespan,
        responses=errors,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,  # a redirect would go to the address in the Host header, without TLS
        generate_unique_id_function=lambda route: route.name,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # RequestContext does this with our names
    )
    app.state.stop_by = None
    install_error_handlers(app)
    app.state.has_started = lambda: bool(running)
    for router in (*routers, health_router(lambda: running[0] if running else None)):
        app.include_router(router)
    sizes = BodySizeLimits(body_limits)
    app.add_middleware(BodyChecks, sizes=sizes)
    if limits is not None:
        app.add_middleware(RateLimited)
    if middleware is not None:
        app.add_middleware(middleware)
    app.add_middleware(Devices)
    app.add_middleware(AdmissionControl, settings=settings, sizes=sizes, eventless=eventless)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins.split(","), **CORS)
    app.add_middleware(Started)
    app.add_middleware(RequestContext)
    app.add_middleware(HeadAsGet)
    return app
