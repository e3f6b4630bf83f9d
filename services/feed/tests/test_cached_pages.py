"""What is answered before routing, and what goes to the route."""

from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
from starlette.types import Message, Receive, Scope, Send

from libs.common.stores.rate import RateCheck
from libs.common.web.auth import Principal
from services.feed.api.cached_pages import PATH, CachedPages
from services.feed.domain.feed import Order
from services.feed.service.reader import Lookup, Served


class Kept:
    """Of everyone each first page; no request is counted."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, Order, int]] = []

    async def verify(self, token: str) -> Principal:
        return Principal(int(token), 1)

    def check(self, scope: Scope, user_id: int) -> None: ...

    async def lookup(self, user_id: int, order: Order, limit: int, check: RateCheck | None) -> Lookup:
        self.asked.append((user_id, order, limit))
        return Lookup(Served(b"{}", "hit", "normal"))


async def answered(query: dict[str, str], *, signed_in: bool = True) -> list[tuple[int, Order, int]] | None:
    """Return the lookups in the page cache, or None if the route answered instead."""
    kept, sent, routed = Kept(), list[Message](), list[Scope]()

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        routed.append(scope)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    use_cases = SimpleNamespace(reader=kept)
    state = SimpleNamespace(token_verifier=kept, request_limits=kept, use_cases=use_cases)
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
    return None if routed else kept.asked


async def test_a_first_page_is_answered() -> None:
    assert await answered({}) == [(7, Order.RANKED, 20)]
    assert await answered({"order": "chronological", "limit": "100"}) == [(7, Order.CHRONOLOGICAL, 100)]


@pytest.mark.parametrize(
    "limit", ["", "0", "-1", "101", "x", "²", "٣", pytest.param("9" * 4_301, id="more digits than int() takes")]
)
@pytest.mark.parametrize("signed_in", [True, False])
async def test_a_limit_out_of_bounds_goes_to_the_route(limit: str, *, signed_in: bool) -> None:
    assert await answered({"limit": limit}, signed_in=signed_in) is None


@pytest.mark.parametrize("query", [{"cursor": "x"}, {"order": "x"}, {"fresh": "1"}])
async def test_what_is_no_first_page_goes_to_the_route(query: dict[str, str]) -> None:
    assert await answered(query) is None


async def test_who_is_not_signed_in_goes_to_the_route() -> None:
    assert await answered({}, signed_in=False) is None
