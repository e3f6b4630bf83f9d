"""How many requests a person, or an address without one, may make."""

import asyncio
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, IPv6Network, ip_address
from re import Pattern

from prometheus_client import Counter
from redis.exceptions import RedisError
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.runtime.auth import BEARER, TokenVerifier
from libs.common.runtime.errors import ApiError, RateLimitedError, UnavailableError, problem_of
from libs.common.runtime.logging import get_logger
from libs.common.stores.rate import Charge, Limit, Limiter, Verdict

DEADLINE_S = 0.1  # a request that goes on uncounted is not held up for longer
MINUTE_S, HOUR_S = 60, 3_600
IPV6_PREFIX = 64  # what one customer is given: all its addresses are one
UNCOUNTED = ("/internal/", "/health/", "/metrics")
VERDICT = "feedmill.rate_verdict"
REFUSED = Counter("feedmill_rate_limited_total", "Requests refused.", ["limit"])
log = get_logger(__name__)


def client_address(scope: Scope) -> str:
    """As the gateway names it, which takes nobody's word for it."""
    named = next((value for name, value in scope["headers"] if name == b"x-forwarded-for"), b"")
    address = ip_address(named.decode("latin-1") or scope["client"][0])
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, IPV6_PREFIX), strict=False))
    return str(address)


def rate_headers(verdict: Verdict) -> Iterable[tuple[bytes, bytes]]:
    """`RateLimit-…`, for an answer."""
    yield b"ratelimit-limit", b"%d" % verdict.limit.count
    yield b"ratelimit-remaining", b"%d" % verdict.remaining
    yield b"ratelimit-reset", b"%d" % verdict.reset_s


class RequestLimits:
    """What is counted against what.

    Args:
        limiter: counts.
        overall: of every public route.
        rules: `METHOD /path/{template}` → the route's own limit.
        patience: factor of the time that counting may take.
    """

    def __init__(self, limiter: Limiter, overall: Limit, rules: Mapping[str, Limit], patience: float) -> None:
        self._limiter = limiter
        self._overall = overall
        self.deadline_s = DEADLINE_S * patience
        self._rules: list[tuple[str, Pattern[str], Limit]] = []
        for route, limit in rules.items():
            method, path = route.split()
            self._rules.append((method, compile_path(path)[0], limit))

    def charge(self, scope: Scope, user_id: int | None) -> Charge | None:
        """The request in hand; None when nothing limits it."""
        method, path = scope["method"], scope["path"]
        own = [limit for on, pattern, limit in self._rules if on == method and pattern.match(path)]
        who = f"ip:{client_address(scope)}" if user_id is None else f"user:{user_id}"
        return self._limiter.charge(who, [self._overall, *own])

    async def insist(self, scope: Scope, who: str, limit: Limit) -> None:
        """Count the request against a limit that must hold whatever happens.

        Raises:
            RateLimitedError: there were too many.
            UnavailableError: Redis is away.
        """
        if (charge := self._limiter.charge(who, [limit])) is None:
            return
        try:
            verdict = await charge.take()
        except (RedisError, OSError) as error:
            raise UnavailableError("not without knowing how often it was tried") from error
        scope[VERDICT] = verdict
        if verdict.retry_after_s:
            raise _refusal(verdict)


def _refusal(verdict: Verdict) -> RateLimitedError:
    REFUSED.labels(verdict.limit.name).inc()
    return RateLimitedError(verdict.retry_after_s)


class RateLimited:
    """Refuses what is over its limit, and says in every answer what is left. While Redis is away nothing is refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNCOUNTED):
            await self._app(scope, receive, send)
            return
        if VERDICT not in scope:
            await self._count(scope)

        async def send_with_rate(message: Message) -> None:
            verdict: Verdict | None = scope.get(VERDICT)
            if message["type"] == "http.response.start" and verdict and not _is_for_all(message):
                message["headers"] = [*message["headers"], *rate_headers(verdict)]
            await send(message)

        verdict: Verdict | None = scope.get(VERDICT)
        if verdict and verdict.retry_after_s:
            await problem_of(_refusal(verdict))(scope, receive, send_with_rate)
        else:
            await self._app(scope, receive, send_with_rate)

    @staticmethod
    async def _count(scope: Scope) -> None:
        state = scope["app"].state
        limits: RequestLimits = state.request_limits
        charge = limits.charge(scope, await _user_id(scope, state.token_verifier))
        try:
            if charge is not None:
                async with asyncio.timeout(limits.deadline_s):
                    scope[VERDICT] = await charge.take()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("request_not_counted", error=repr(error))


async def _user_id(scope: Scope, verifier: TokenVerifier) -> int | None:
    """Whose token it is; a bad one is nobody's, and counts for its address."""
    header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    if not header.startswith(BEARER):
        return None
    try:
        return (await verifier.signed(header.removeprefix(BEARER).decode("latin-1"))).user_id
    except ApiError:
        return None


def _is_for_all(start: Message) -> bool:
    """Whether a shared cache may keep the answer: it would tell one caller's rate to others."""
    return any(name == b"cache-control" and value.startswith(b"public") for name, value in start["headers"])
