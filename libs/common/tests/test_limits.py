"""Who is counted against what, through a small application on a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx2
import pytest
from fastapi import APIRouter, Request, Response
from pydantic import SecretStr

from libs.common.core.errors import UnauthorizedError
from libs.common.core.settings import Settings
from libs.common.stores.rate import RateLimit
from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.common.testing.proxy import Fault, FaultProxy, address_of
from libs.common.web.app import create_app
from libs.common.web.auth import Principal, TokenVerifier
from libs.common.web.limits import HOUR_S
from libs.common.web.runtime import Runtime

pytestmark = pytest.mark.stores
NO_PARTITION = "redis://127.0.0.1:1/0"
LOGINS = RateLimit("logins", 1, HOUR_S)
Client = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]
router = APIRouter()
entered, release = asyncio.Event(), asyncio.Event()


@router.post("/v1/things/{name}/paint")
@router.post("/v1/things/{name}/join")
@router.get("/v1/things/{name}")
@router.get("/internal/things")
async def thing() -> dict[str, str]:
    return {}


@router.get("/v1/pictures")
async def picture() -> Response:
    return Response(headers={"Cache-Control": "public, max-age=60"})


@router.post("/v1/login")
async def login(request: Request) -> None:
    await request.app.state.request_limits.enforce(request.scope, "account:ada", LOGINS)


@router.get("/v1/held")
async def hold() -> None:
    entered.set()
    await release.wait()


class NumberVerifier(TokenVerifier):
    """Takes the token for the user's id."""

    def __init__(self) -> None: ...

    def known(self, token: str) -> Principal | None:
        return Principal(int(token), 1) if token.isdigit() else None

    async def signed(self, token: str) -> Principal:
        if (principal := self.known(token)) is None:
            raise UnauthorizedError
        return principal


@pytest.fixture
async def client(store_env: dict[str, str]) -> AsyncIterator[Client]:
    """A new one of an application; all of a test share what they count."""
    common = settings_for(Settings, store_env, namespace=f"{store_env['FEEDMILL_NAMESPACE']}limits_")

    @asynccontextmanager
    async def opened(**changes: object) -> AsyncIterator[httpx2.AsyncClient]:
        async def compose(runtime: Runtime[Settings]) -> None:
            runtime.token_verifier = NumberVerifier()

        limits = {
            "POST /v1/things/{name}/paint": RateLimit("paint", 2, HOUR_S),
            "POST /v1/things/{name}/join": RateLimit("join", 2, HOUR_S, per_address=True),
        }
        app = create_app("things", common.model_copy(update=changes), compose, [router], limits=limits)
        http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://t")
        async with app.router.lifespan_context(app), http:
            yield http

    yield opened
    async with open_redis(common) as redis:
        if keys := await redis.keys(f"{common.redis_prefix('rate')}*"):
            await redis.delete(*keys)


def user(number: int) -> dict[str, str]:
    return {"Authorization": f"Bearer {number}"}


def left(answer: httpx2.Response) -> tuple[int, ...]:
    return tuple(int(answer.headers[f"ratelimit-{name}"]) for name in ("limit", "remaining"))


async def test_a_person_is_counted_wherever_they_are(client: Client) -> None:
    async with client(requests_a_minute=3) as one, client(requests_a_minute=3) as other:
        assert left(await one.get("/v1/things/x", headers=user(1))) == (3, 2)
        elsewhere = {**user(1), "X-Forwarded-For": "203.0.113.9"}
        assert left(await other.get("/v1/things/x", headers=elsewhere)) == (3, 1)
        assert left(await one.get("/v1/nothing", headers=user(1))) == (3, 0)
        refused = await one.get("/v1/things/x", headers=user(1))
        assert (refused.status_code, refused.json()["code"], left(refused)) == (429, "rate_limited", (3, 0))
        assert 1 <= int(refused.headers["retry-after"]) <= 20
        assert 40 < int(refused.headers["ratelimit-reset"]) <= 60
        assert left(await one.get("/v1/things/x", headers=user(2))) == (3, 2)


@pytest.mark.parametrize("header", ["bearer 1", "BEARER 1", "Bearer   1"])
async def test_a_person_is_known_by_any_spelling_of_the_header(client: Client, header: str) -> None:
    async with client(requests_a_minute=3) as http:
        await http.get("/v1/things/x", headers=user(1))
        assert left(await http.get("/v1/things/x", headers={"Authorization": header})) == (3, 1)


async def test_an_address_is_counted_whoever_asks_from_there(client: Client) -> None:
    async with client(address_requests_a_minute=4) as http:
        answers = [
            await http.get("/v1/things/x", headers=headers) for headers in (user(1), user(2), {}, user(3), user(4))
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]
        assert left(answers[3]) == (4, 0)
        assert (
            await http.get("/v1/things/x", headers={**user(4), "X-Forwarded-For": "203.0.113.9"})
        ).status_code == 200


async def test_a_limit_of_the_address_holds_for_all_its_people_together(client: Client) -> None:
    async with client() as http:
        answers = [await http.post("/v1/things/x/join", headers=headers) for headers in (user(1), {}, user(2))]
        assert [answer.status_code for answer in answers] == [200, 200, 429]


async def test_while_redis_is_slow_a_share_passes_and_while_it_is_away_everything(
    client: Client, store_env: dict[str, str]
) -> None:
    url = store_env["FEEDMILL_REDIS_URL"]
    async with FaultProxy(address_of(url)) as proxy:
        slow = SecretStr(url.replace(address_of(url), proxy.address))
        async with client(redis_url=slow, requests_a_minute=20, timeout_factor=1.0) as http:
            await http.get(
                "/v1/things/x", headers=user(3)
            )  # opens the connection; another's, so that it takes nothing of the share
            await proxy.impose(Fault.BLACK_HOLE)
            answers = [await http.get("/v1/things/x", headers=user(1)) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 429]
            assert (await http.get("/v1/things/x", headers=user(2))).status_code == 200
    async with client(redis_url=SecretStr(NO_PARTITION), requests_a_minute=2) as http:
        answers = [await http.get("/v1/things/x", headers=user(1)) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 6


async def test_what_is_refused_before_any_work_is_counted(client: Client) -> None:
    async with client(max_in_flight=1) as http:
        held = asyncio.create_task(http.get("/v1/held"))
        await entered.wait()
        elsewhere = {**user(1), "X-Forwarded-For": "203.0.113.9"}  # its share is free: the process is full
        painted = [await http.post("/v1/things/x/paint", headers=elsewhere) for _ in range(2)]
        assert [answer.status_code for answer in painted] == [503, 503]
        release.set()
        assert (await held).status_code == 200
    async with client() as http:
        assert (await http.post("/v1/things/x/paint", headers=user(1))).status_code == 429


async def test_without_a_good_token_it_is_the_address_that_counts(client: Client) -> None:
    async with client(address_requests_a_minute=4) as http:
        remaining = [
            left(await http.get("/v1/things/x", headers={"X-Forwarded-For": address, **more}))[1]
            for address, more in (
                ("203.0.113.9", {}),
                ("203.0.113.9", {"Authorization": "Bearer bad"}),
                ("203.0.113.10", {}),
                ("2001:db8:0:1::1", {}),
                ("2001:db8:0:1:ffff::2", {}),
                ("2001:db8:0:2::1", {}),
                ("::ffff:203.0.113.10", {}),
            )
        ]
        assert remaining == [3, 2, 3, 3, 2, 3, 2]


async def test_a_route_has_a_limit_of_its_own(client: Client) -> None:
    async with client(requests_a_minute=20) as http:
        painted = [await http.post(f"/v1/things/{name}/paint", headers=user(1)) for name in "xyz"]
        assert [answer.status_code for answer in painted] == [200, 200, 429]
        assert left(painted[0]) == (2, 1)
        assert left(await http.get("/v1/things/x", headers=user(1))) == (20, 17)


async def test_what_is_not_counted(client: Client) -> None:
    async with client() as http:
        for path in ("/internal/things", "/health/live", "/v1/pictures"):
            answer = await http.get(path)
            assert (answer.status_code, "ratelimit-limit" in answer.headers) == (200, False), path
    async with client(rate_limits=False) as http:
        answers = [await http.post("/v1/things/x/paint", headers=user(1)) for _ in range(3)]
        assert [(answer.status_code, "ratelimit-limit" in answer.headers) for answer in answers] == [(200, False)] * 3


async def test_what_must_hold_is_refused_when_it_can_not_be_counted(client: Client) -> None:
    async with client() as http:
        answers = [await http.post("/v1/login") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        assert {left(answer) for answer in answers} == {(1, 0)}
    async with client(redis_url=SecretStr(NO_PARTITION)) as http:
        assert (await http.get("/v1/things/x")).status_code == 200
        closed = await http.post("/v1/login")
        assert (closed.status_code, closed.json()["code"], closed.headers["retry-after"]) == (503, "unavailable", "2")
