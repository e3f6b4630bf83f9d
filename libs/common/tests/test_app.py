"""Service defaults, through a small application without stores."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, ConfigDict

from libs.common.kafka.outbox import Outbox
from libs.common.runtime.app import Runtime, create_app
from libs.common.runtime.auth import ALGORITHM, CallingService, CurrentUser, ServiceTokens, TokenVerifier
from libs.common.runtime.errors import NotFoundError
from libs.common.runtime.settings import Settings
from libs.common.testing import SECRET, settings_for

KEY = Ed25519PrivateKey.generate()
router = APIRouter()


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str


@router.post("/v1/things", status_code=201)
async def make_thing(thing: Thing, _: CurrentUser) -> Thing:
    return thing


@router.get("/v1/things/{name}")
async def get_thing(name: str) -> Thing:
    if name == "bug":
        raise ZeroDivisionError
    raise NotFoundError


@router.get("/v1/slow")
async def slow(request: Request) -> None:
    request.app.state.entered.set()
    await asyncio.Event().wait()


@router.get("/internal/things")
async def internal(caller: CallingService) -> dict[str, str]:
    return {"caller": caller}


class OneKey:
    async def key(self, kid: str) -> object | None:
        return KEY.public_key() if kid == "k" else None


async def compose(app: FastAPI, _: Runtime) -> None:
    app.state.token_verifier = TokenVerifier(OneKey())
    app.state.entered = asyncio.Event()


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app("things", settings_for(Settings, {}), compose, [router])
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
        yield http


def token(**changes: object) -> str:
    claims = {"iss": "feedmill", "sub": "5", "sid": "6", "iat": 1_700_000_000, "exp": 4_000_000_000, **changes}
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, KEY, ALGORITHM, headers={"kid": "k"})


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


async def test_errors_are_problems_with_a_stable_code(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/v1/things/x", headers={"X-Request-Id": "request-0001"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "request-0001"
    body = answer.json()
    assert (body["code"], body["request_id"], body["status"]) == ("not_found", "request-0001", 404)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b'{"name":"a"}', 201, None),
        (b'{"name":"a","more":1}', 422, "invalid"),
        (b'{"name":', 400, "malformed_json"),
        (b"{}", 422, "invalid"),
        (b'{"name":"' + b"a" * 300_000 + b'"}', 413, "too_large"),
    ],
    ids=["good", "unknown-field", "cut-short", "missing-field", "too-large"],
)
async def test_bodies(client: httpx2.AsyncClient, content: bytes, status: int, code: str | None) -> None:
    headers = {**bearer(token()), "Content-Type": "application/json"}
    answer = await client.post("/v1/things", content=content, headers=headers)
    assert (answer.status_code, answer.json().get("code")) == (status, code)


async def test_a_streamed_body_is_bounded_too(client: httpx2.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 10_000

    headers = {**bearer(token()), "Content-Type": "application/json"}
    answer = await client.post("/v1/things", content=endless(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "unauthorized"),
        ("nonsense", "invalid_token"),
        (token(exp=1_700_000_001), "token_expired"),
        (token(iss="other"), "invalid_token"),
        (token(sub=None), "invalid_token"),
        (token(sub="x"), "invalid_token"),
        (jwt.encode({"sub": "5"}, "", "none", headers={"kid": "k"}), "invalid_token"),
        (jwt.encode({"sub": "5"}, SECRET, "HS256", headers={"kid": "k"}), "invalid_token"),
    ],
    ids=["none", "nonsense", "expired", "other-issuer", "no-subject", "bad-subject", "unsigned", "wrong-algorithm"],
)
async def test_tokens_that_do_not_count(client: httpx2.AsyncClient, value: str | None, code: str) -> None:
    answer = await client.post("/v1/things", json={"name": "a"}, headers=bearer(value) if value else {})
    assert (answer.status_code, answer.json()["code"]) == (401, code)


async def test_internal_routes_want_a_service_token(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/internal/things")).status_code == 403
    assert (await client.get("/internal/things", headers=bearer(token()))).status_code == 401
    headers = {"Authorization": ServiceTokens(SECRET, "services.feed").header()}
    assert (await client.get("/internal/things", headers=headers)).json() == {"caller": "services.feed"}


async def test_a_bug_is_a_500_that_says_nothing(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/v1/things/bug")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


async def test_health_and_metrics(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health/ready")).json() == {"ready": True, "checks": {}}
    assert "feedmill_http_request_seconds" in (await client.get("/metrics")).text


async def test_a_failing_check_is_not_ready() -> None:
    async def broken(_: FastAPI, runtime: Runtime) -> None:
        async def hangs() -> bool:
            await asyncio.sleep(60)
            return True

        runtime.ready_checks["store"] = hangs

    app = create_app("things", settings_for(Settings, {}), broken)
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
        answer = await http.get("/health/ready")
    assert (answer.status_code, answer.json()["checks"]) == (503, {"store": False})


async def test_what_comes_too_late_is_refused(client: httpx2.AsyncClient) -> None:
    """At once when nobody waits any more, else when the time is up."""
    for left_ms in ("0", "50"):
        answer = await client.get("/v1/slow", headers={"X-Deadline-Ms": left_ms})
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


async def test_too_much_at_once_is_refused_before_any_work() -> None:
    app = create_app("things", settings_for(Settings, {}, max_in_flight=1), compose, [router])
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
        held = asyncio.create_task(http.get("/v1/slow"))
        await app.state.entered.wait()
        answer = await http.get("/v1/things/x")
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "overloaded", "1")
        assert (await http.get("/health/live")).status_code == 200
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        assert (await http.get("/v1/things/x")).status_code == 404


class WaitingOutbox:
    """Of a service whose Kafka is away."""

    waited_s = 0.0

    async def run_direct(self) -> None:
        await asyncio.Event().wait()

    run_relay = flush = run_direct


async def test_acts_are_refused_while_their_events_wait_for_too_long() -> None:
    outbox = WaitingOutbox()

    async def acting(app: FastAPI, runtime: Runtime) -> None:
        await compose(app, runtime)
        runtime.relay(cast("Outbox", outbox))

    app = create_app("things", settings_for(Settings, {}, outbox_wait_s=60), acting, [router])
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
        for outbox.waited_s, status in ((59, 201), (60, 503), (0, 201)):
            answer = await http.post("/v1/things", json={"name": "a"}, headers=bearer(token()))
            assert answer.status_code == status
            assert (await http.get("/v1/things/x")).status_code == 404
            assert (await http.post("/v1/auth/refresh")).status_code == 404
