"""Rate limits of requests, per user and per address."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from contextvars import Context
from ipaddress import IPv6Address, IPv6Network, ip_address
from re import Pattern

from redis.exceptions import MaxConnectionsError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.core.errors import ApiError, RateLimitedError, UnavailableError
from libs.common.stores.rate import LocalRateLimiter, RateCheck, RateLimit, RateLimiter, RateVerdict
from libs.common.web.auth import TokenVerifier, bearer_token
from libs.common.web.problems import problem_of
from libs.telemetry.metrics import counter

DEADLINE_S = 0.1  # a request waits this long for Redis to count it, and then goes on
LATER_MAX = 1_000  # requests to be counted in the background; about 2 MB
MINUTE_S, HOUR_S = 60, 3_600
IPV6_PREFIX = 64  # a customer usually gets a /64, so all its addresses count as one
UNCOUNTED = ("/internal/", "/health/", "/metrics")
VERDICT = "feedmill.rate_verdict"
REFUSED = counter("feedmill_rate_limited_total")
UNCOUNTABLE = counter("feedmill_rate_uncounted_total")


def client_address(scope: Scope) -> str:
    """The client's address as the gateway reports it; the gateway overwrites what clients send in this header."""
    named = next((value for name, value in scope["headers"] if name == b"x-forwarded-for"), b"")
    address = ip_address(named.decode("latin-1") or scope["client"][0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, IPV6_PREFIX), strict=False))
    return str(address)


def rate_headers(verdict: RateVerdict) -> Iterable[tuple[bytes, bytes]]:
    """The `RateLimit-…` headers of an answer."""
    yield b"ratelimit-limit", b"%d" % verdict.limit.count
    yield b"ratelimit-remaining", b"%d" % verdict.remaining
    yield b"ratelimit-reset", b"%d" % verdict.reset_s


class RequestLimits:
    """Decides which limits apply to a request, and counts it.

    Args:
        limiter: counts in Redis.
        user: limit of all public routes together, for one signed-in user.
        address: limit of all public routes together, for one address, with or without signed-in users.
        rules: `METHOD /path/{template}` → an additional limit of this route.
        timeout_factor: factor for the time-out of counting.
    """

    def __init__(
        self,
        limiter: RateLimiter,
        user: RateLimit,
        address: RateLimit,
        rules: Mapping[str, RateLimit],
        timeout_factor: float,
    ) -> None:
        self._limiter = limiter
        self._local = LocalRateLimiter()
        self._user, self._address = user, address
        self._deadline_s = DEADLINE_S * timeout_factor
        self._later: list[RateCheck] = []
        self._counting: asyncio.Task[None] | None = None
        self._rules: list[tuple[str, Pattern[str], RateLimit]] = []
        for route, limit in rules.items():
            method, path = route.split()
            self._rules.append((method, compile_path(path)[0], limit))

    def check(self, scope: Scope, user_id: int | None) -> RateCheck | None:
        """The check for this request; None if no limit applies."""
        method, path = scope["method"], scope["path"]
        of_route = [limit for on, pattern, limit in self._rules if on == method and pattern.match(path)]
        address = f"ip:{client_address(scope)}"
        if user_id is None:
            return self._limiter.check({address: [self._address, *of_route]})
        per_address = [self._address, *(limit for limit in of_route if limit.per_address)]
        per_user = [self._user, *(limit for limit in of_route if not limit.per_address)]
        return self._limiter.check({address: per_address, f"user:{user_id}": per_user})

    async def count(self, check: RateCheck) -> RateVerdict | None:
        """Count the request; None if it is admitted without being counted in Redis.

        While Redis is down, all requests are admitted. Time-outs and exhausted pools may be caused by the caller:
        then this process counts, and admits only a share of each limit.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                return await check.take()
        except (TimeoutError, RedisTimeoutError, MaxConnectionsError):
            UNCOUNTABLE.labels("slow").inc()
            verdict = self._local.take(check)
            return verdict if verdict.retry_after_s else None
        except (RedisError, OSError):
            UNCOUNTABLE.labels("away").inc()
            return None

    def count_later(self, scope: Scope) -> None:
        """Count a request that was refused before any work, in the background and in batches.

        It counts for the address, and for the user if the token was verified in the last minute.
        """
        if scope["path"].startswith(UNCOUNTED) or len(self._later) >= LATER_MAX:
            return
        verifier: TokenVerifier = scope["app"].state.token_verifier
        token = bearer_token(scope)
        principal = verifier.known(token) if token else None
        check = self.check(scope, principal.user_id if principal else None)
        if check is None:
            return
        self._later.append(check)
        if self._counting is None or self._counting.done():
            # A new context, because the deadline of the current request must not end the counting.
            self._counting = asyncio.get_running_loop().create_task(self._count_all(), context=Context())

    async def _count_all(self) -> None:
        while self._later:
            checks, self._later = self._later, []
            with suppress(RedisError, OSError):
                await self._limiter.take_all(checks)

    async def close(self) -> None:
        """Wait until background counting is done."""
        if self._counting is not None:
            await self._counting

    async def enforce(self, scope: Scope, caller: str, limit: RateLimit) -> None:
        """Count the request against a limit that must hold even while Redis is down.

        Raises:
            RateLimitedError: there were too many requests.
            UnavailableError: Redis is down, so the request can't be counted.
        """
        if (check := self._limiter.check({caller: [limit]})) is None:
            return
        try:
            verdict = await check.take()
        except (RedisError, OSError) as error:
            raise UnavailableError("Login is temporarily unavailable.") from error
        scope[VERDICT] = verdict
        if verdict.retry_after_s:
            raise _refusal(verdict)


def _refusal(verdict: RateVerdict) -> RateLimitedError:
    REFUSED.labels(verdict.limit.name).inc()
    return RateLimitedError(verdict.retry_after_s)


class RateLimited:
    """ASGI middleware that refuses requests over a limit, and adds `RateLimit-…` headers to answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNCOUNTED):
            await self._app(scope, receive, send)
            return
        if VERDICT not in scope:
            await self._count(scope)

        async def send_with_rate(message: Message) -> None:
            verdict: RateVerdict | None = scope.get(VERDICT)
            if message["type"] == "http.response.start" and verdict and not _is_shared(message):
                message["headers"] = [*message["headers"], *rate_headers(verdict)]
            await send(message)

        verdict: RateVerdict | None = scope.get(VERDICT)
        if verdict and verdict.retry_after_s:
            await problem_of(_refusal(verdict))(scope, receive, send_with_rate)
        else:
            await self._app(scope, receive, send_with_rate)

    @staticmethod
    async def _count(scope: Scope) -> None:
        state = scope["app"].state
        limits: RequestLimits = state.request_limits
        check = limits.check(scope, await _user_id(scope, state.token_verifier))
        if check is not None and (verdict := await limits.count(check)) is not None:
            scope[VERDICT] = verdict


async def _user_id(scope: Scope, verifier: TokenVerifier) -> int | None:
    """The user of the token; None if there is none or it is invalid, so that only the address counts."""
    token = bearer_token(scope)
    if token is None:
        return None
    try:
        return (await verifier.signed(token)).user_id
    except ApiError:
        return None


def _is_shared(start: Message) -> bool:
    """True if a shared cache may store the answer, which would show one caller's limits to others."""
    return any(name == b"cache-control" and value.startswith(b"public") for name, value in start["headers"])
