"""Kept pages, answered before routing: a kept page costs half of what FastAPI takes to find out that it is one."""

from types import SimpleNamespace
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from libs.common.core.errors import ApiError
from libs.common.core.paging import DEFAULT_LIMIT, MAX_LIMIT
from libs.common.stores.rate import RateCheck
from libs.common.web.auth import bearer_token
from libs.common.web.limits import VERDICT, rate_headers
from services.feed.domain.feed import Order
from services.feed.service.reader import Served

PATH = "/v1/feed"
_LIMITS = {str(limit): limit for limit in range(1, MAX_LIMIT + 1)}
HEADERS = [(b"content-type", b"application/json"), (b"cache-control", b"private, no-store")]


class CachedPages:
    """Answers `GET /v1/feed` with a first page that is kept and true; all else, and any error, goes to the route.

    It asks Redis for the page and to count the request at once; who comes after it finds the verdict.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        served = await self._kept(scope) if scope["type"] == "http" and scope["path"] == PATH else None
        if served is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = SimpleNamespace(path=PATH)
        length = (b"content-length", str(len(served.body)).encode())
        headers = [*HEADERS, length, (b"x-feed-quality", served.quality.encode()), (b"x-cache-status", b"hit")]
        if verdict := scope.get(VERDICT):
            headers += rate_headers(verdict)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": served.body})

    @staticmethod
    async def _kept(scope: Scope) -> Served | None:
        asked = _asked(scope)
        token = bearer_token(scope)
        if asked is None or token is None:
            return None
        state = scope["app"].state
        try:
            user = await state.token_verifier.verify(token)
        except ApiError:
            return None
        charge: RateCheck | None = state.request_limits.check(scope, user.user_id)
        served: Served | None = await state.use_cases.reader.kept(user.user_id, *asked, charge)
        if charge is not None and charge.verdict is not None:
            scope[VERDICT] = charge.verdict
        return served


def _asked(scope: Scope) -> tuple[Order, int] | None:
    """Order and limit of a well-formed request for a first page."""
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    order, limit = query.pop("order", Order.RANKED.value), query.pop("limit", str(DEFAULT_LIMIT))
    is_plain = scope["method"] == "GET" and not query and order in set(Order) and limit in _LIMITS
    return (Order(order), _LIMITS[limit]) if is_plain else None
