"""First pages are answered before routing, and other requests go to the route."""

from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
from starlette.types import Message, Receive, Scope, Send

from libs.common.stores.rate import RateCheck
from libs.common.web.auth import Principal
from services.feed.api.cached_pages import PATH, CachedPages
from services.feed.domain.feed import Order
from services.feed.service.reader import Lookup, Served
from services.feed.service.returning import ReturningReaders


class AlwaysCached:
    """Has every first page in the cache, and counts no request."""

    def __init__(self) -> None:
        self.lookups: list[tuple[int, Order, int]] = []
        self.returning = ReturningReaders(60)
        self.noted: list[int] = []

    async def verify(self, token: str) -> Principal:
        return Principal(int(token), 1)

    def note(self, user_id: int) -> None:
        self.noted.append(user_id)

    def check(self, scope: Scope, user_id: int) -> None: ...

    async def lookup(self, user_id: int, order: Order, limit: int, check: RateCheck | None) -> Lookup:
        self.lookups.append((user_id, order, limit))
        return Lookup(Served(b"{}", "hit", "normal"))


async def lookups(query: dict[str, str], *, signed_in: bool = True) -> list[tuple[int, Order, int]] | None:
    """Send a request and return the lookups in the cache; None if the route answered."""
    cached, sent, routed = AlwaysCached(), list[Message](), list[Scope]()

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        routed.append(scope)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    use_cases = SimpleNamespace(reader=cached, returning=cached.returning, active=cached)
    state = SimpleNamespace(token_verifier=cached, request_limits=cached, use_cases=use_cases)
    scope = {
        "type": "http",
        "method": "GET",
        "path": PATH,
        "query_string": urlencode(query).encode(),
        "headers": [(b"authorization", b"bearer  7")] if signed_in else [],
        "app": SimpleNamespace(state=state),
    }
    await CachedPages(route)(scope, receive, send)
    assert bool(routed) != bool(sent)
    assert cached.returning.readers() == cached.noted == [user_id for user_id, _, _ in cached.lookups]
    return None if routed else cached.lookups


async def test_a_first_page_is_answered() -> None:
    assert await lookups({}) == [(7, Order.RANKED, 20)]
    assert await lookups({"order": "chronological", "limit": "100"}) == [(7, Order.CHRONOLOGICAL, 100)]


@pytest.mark.parametrize(
    "limit", ["", "0", "-1", "101", "x", "²", "٣", pytest.param("9" * 4_301, id="more digits than int() takes")]
)
@pytest.mark.parametrize("signed_in", [True, False])
async def test_a_limit_out_of_bounds_goes_to_the_route(limit: str, *, signed_in: bool) -> None:
    assert await lookups({"limit": limit}, signed_in=signed_in) is None


@pytest.mark.parametrize("query", [{"cursor": "x"}, {"order": "x"}, {"fresh": "1"}])
async def test_other_requests_go_to_the_route(query: dict[str, str]) -> None:
    assert await lookups(query) is None


async def test_requests_without_a_token_go_to_the_route() -> None:
    assert await lookups({}, signed_in=False) is None
