"""Service defaults, through a small application without stores."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import APIRouter, FastAPI, Request
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import ValidationError
from starlette.types import Message, Scope
from structlog.testing import capture_logs

from libs.common.core.context import caller
from libs.common.core.errors import NotFoundError
from libs.common.core.logging import AccountHash, processors
from libs.common.core.settings import Settings
from libs.common.kafka.outbox import Outbox
from libs.common.testing import SECRET, settings_for
from libs.common.testing.eventually import eventually
from libs.common.testing.samples import sample
from libs.common.web import middleware, problems
from libs.common.web import runtime as web_runtime
from libs.common.web.app import create_app
from libs.common.web.auth import ALGORITHM, CallingService, CurrentUser, ServiceTokens, TokenVerifier
from libs.common.web.client import ServiceClient
from libs.common.web.jwks import RemoteKeys
from libs.common.web.middleware import charge_slot
from libs.common.web.runtime import Runtime
from libs.common.web.validation import RequestBody, count_of

KEY = Ed25519PrivateKey.generate()
router = APIRouter()


class Thing(RequestBody):
    name: str


class Box(RequestBody):
    thing: Thing


@router.post("/v1/things", status_code=201)
async def make_thing(thing: Thing, _: CurrentUser) -> Thing:
    return thing


@router.post("/v1/boxes")
@router.post("/v1/auth/boxes")
async def make_box(box: Box) -> Box:
    return box


@router.put("/v1/uploads/{account}")
async def put_upload(request: Request, account: int, works: bool = False) -> int:
    charge_slot(request.scope, account)
    if not works:
        request.app.state.use_cases.set()
    size = len(await request.body())
    if works:
        await slow(request)
    return size


@router.get("/v1/things/{name}")
async def get_thing(name: str) -> Thing:
    if name == "bug":
        raise ZeroDivisionError
    raise NotFoundError


@router.get("/v1/pictures")
async def get_pictures() -> dict[str, Any]:
    return {"caption": '"preferred":"medium"', "media": [{"preferred": "medium"}] * 2}


@router.get("/v1/slow")
async def slow(request: Request) -> None:
    request.app.state.use_cases.set()
    await asyncio.Event().wait()


@router.get("/internal/things")
async def internal(service: CallingService) -> dict[str, str]:
    who = caller()
    return {"caller": service, "for": who.header() if who else ""}


class OneKey:
    async def key(self, kid: str) -> object | None:
        return KEY.public_key() if kid == "k" else None


async def compose(runtime: Runtime[Settings]) -> asyncio.Event:
    runtime.token_verifier = TokenVerifier(OneKey())
    return asyncio.Event()


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app("things", settings_for(Settings, {}), compose, [router], body_limits={"/v1/auth/": 8 * 1024})
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
        yield http


def token(**changes: object) -> str:
    claims = {"iss": "feedmill", "sub": "5", "sid": "6", "iat": 1_700_000_000, "exp": 4_000_000_000, **changes}
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, KEY, ALGORITHM, headers={"kid": "k"})


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


@asynccontextmanager
async def serving(**settings: object) -> AsyncIterator[tuple[FastAPI, httpx2.AsyncClient]]:
    sizes = {"/v1/uploads/": 10**9, "/v1/auth/": 8 * 1024}
    app = create_app("things", settings_for(Settings, {}, **settings), compose, [router], body_limits=sizes)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
        yield app, http


@asynccontextmanager
async def holding(app: FastAPI, *requests: Coroutine[None, None, httpx2.Response]) -> AsyncIterator[None]:
    """Hold these requests in progress."""
    tasks = []
    for request in requests:
        app.state.use_cases.clear()
        tasks.append(asyncio.create_task(request))
        await app.state.use_cases.wait()
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def at(address: str, **headers: str) -> dict[str, str]:
    return {"X-Forwarded-For": address, **headers}


async def test_the_span_of_a_request_names_its_route(client: httpx2.AsyncClient, spans: InMemorySpanExporter) -> None:
    await client.get("/v1/things/maria?q=secret", headers={"X-Request-Id": "request-0001"})
    await client.get("/v1/things/bug")
    await client.get("/v1/nothing/maria")
    await client.get("/health/live")
    missing, failed, unmatched = spans.get_finished_spans()
    assert (missing.name, missing.kind) == ("GET /v1/things/{name}", SpanKind.SERVER)
    assert missing.attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/things/{name}",
        "url.path": "/v1/things/{name}",
        "url.scheme": "http",
        "http.response.status_code": 404,
        "feedmill.request.id": "request-0001",
    }
    assert missing.status.status_code is StatusCode.UNSET
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "ZeroDivisionError"
    assert unmatched.name == "GET unmatched"
    assert not any("maria" in span.to_json() or "secret" in span.to_json() for span in spans.get_finished_spans())


async def test_the_line_of_a_request_has_its_account_and_sizes(
    client: httpx2.AsyncClient, spans: InMemorySpanExporter
) -> None:
    with capture_logs(processors(SECRET)) as lines:
        answer = await client.post("/v1/things", json={"name": "Maria"}, headers=bearer(token()))
    (written,) = [line for line in lines if line["event"] == "request"]
    assert answer.status_code == 201
    assert (written["method"], written["route"], written["status"]) == ("POST", "/v1/things", 201)
    assert written["bytes_in"] == len(answer.request.content)
    assert written["bytes_out"] == len(answer.content)
    assert written["ms"] > 0
    assert written["user"] == AccountHash(SECRET)(5)
    assert written["request_id"] == answer.headers["x-request-id"]
    assert len(written["trace_id"]) == 32
    assert "Maria" not in str(written)


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
    assert (await client.get("/internal/things", headers=headers)).json() == {"caller": "services.feed", "for": ""}


async def test_a_bug_is_a_500_that_says_nothing(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/v1/things/bug")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


async def test_head_is_answered_like_get_without_a_body(client: httpx2.AsyncClient) -> None:
    got, head = [await client.request(method, "/v1/things/none") for method in ("GET", "HEAD")]
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    refused = await client.head("/v1/boxes")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert (await client.post("/v1/things/none")).headers["allow"] == "GET, HEAD"


async def test_a_slash_too_many_leads_nowhere(client: httpx2.AsyncClient) -> None:
    for method in ("GET", "POST"):
        answer = await client.request(method, "/v1/boxes/", headers={"Host": "evil.example"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert "location" not in answer.headers


async def test_no_cache_keeps_what_does_not_allow_it(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/v1/things/none")).headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("quality", "preferred"),
    [("2g", "small"), ("3G", "small"), ("lte", "medium"), ("wifi", "medium"), ("5g", "medium"), (None, "medium")],
)
async def test_slow_networks_prefer_small_pictures(
    client: httpx2.AsyncClient, quality: str | None, preferred: str
) -> None:
    headers = {"X-Network-Quality": quality} if quality else {}
    answer = await client.get("/v1/pictures", headers=headers)
    assert answer.json() == {"caption": '"preferred":"medium"', "media": [{"preferred": preferred}] * 2}
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert (await client.get("/v1/things/none", headers=headers)).status_code == 404


async def test_devices_are_counted_by_few_names(client: httpx2.AsyncClient) -> None:
    for device in ("phone", "Tablet", "a fridge", ""):
        await client.get("/v1/pictures", headers={"X-Device-Type": device})
    counted = (await client.get("/metrics")).text
    assert 'feedmill_requests_by_device_total{device="tablet"}' in counted
    assert "fridge" not in counted


APP = "https://app.example.org"
PREFLIGHT = {"Origin": APP, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}


async def test_no_other_origin_may_use_the_api_unless_it_is_named(client: httpx2.AsyncClient) -> None:
    assert (await client.options("/v1/boxes", headers=PREFLIGHT)).status_code == 405
    assert "access-control-allow-origin" not in (await client.get("/v1/boxes", headers={"Origin": APP})).headers
    async with serving(cors_origins=APP) as (_, named):
        preflight = await named.options("/v1/boxes", headers=PREFLIGHT)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == APP
        assert "PATCH" in preflight.headers["access-control-allow-methods"]
        answer = await named.get("/v1/things/none", headers={"Origin": APP})
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        other = {**PREFLIGHT, "Origin": "https://evil.example"}
        assert "access-control-allow-origin" not in (await named.options("/v1/boxes", headers=other)).headers


@pytest.mark.parametrize("origins", ["*", "app.example.org", "https://app.example.org/", "https://a.org,null"])
def test_origins_are_named_exactly(origins: str) -> None:
    with pytest.raises(ValidationError, match="expected origins"):
        settings_for(Settings, {}, cors_origins=origins)


async def test_health_and_metrics(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health/ready")).json() == {"ready": True, "checks": {}}
    assert "feedmill_http_request_seconds" in (await client.get("/metrics")).text


async def test_a_sampled_trace_is_the_exemplar_of_its_request(client: httpx2.AsyncClient) -> None:
    trace_id = uuid4().hex
    await client.get("/v1/things/none", headers={"traceparent": f"00-{trace_id}-{'1' * 16}-01"})
    await client.get("/v1/things/none", headers={"traceparent": f"00-{trace_id[::-1]}-{'1' * 16}-00"})
    plain = await client.get("/metrics", headers={"Accept": "text/plain"})
    assert plain.headers["content-type"].startswith("text/plain")
    assert trace_id not in plain.text
    answer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    parse: Any = text_string_to_metric_families  # without types
    samples = [one for family in parse(answer.text) for one in family.samples]
    of_requests = [one for one in samples if one.name == "feedmill_http_request_seconds_bucket"]
    assert {"trace_id": trace_id} in [one.exemplar.labels for one in of_requests if one.exemplar]
    assert trace_id[::-1] not in answer.text


async def test_requests_in_flight_are_counted() -> None:
    async with serving() as (app, http):
        before = sample("feedmill_http_requests_in_flight")
        async with holding(app, http.get("/v1/slow"), http.get("/v1/slow")):
            assert sample("feedmill_http_requests_in_flight") == before + 2
        assert sample("feedmill_http_requests_in_flight") == before


async def test_the_time_that_a_client_takes_to_send_its_body_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(middleware, "time", SimpleNamespace(perf_counter=lambda: now_s, monotonic=lambda: now_s))

    async def body() -> AsyncIterator[bytes]:
        nonlocal now_s
        now_s += 5
        yield b"x"

    def seconds() -> float:
        labels = {"method": "PUT", "route": "/v1/uploads/{account}", "status": "200"}
        return sample("feedmill_http_request_seconds_sum", **labels)

    async with serving() as (_, http):
        before = seconds()
        assert (await http.put("/v1/uploads/7", content=body())).status_code == 200
        assert now_s == 5
        assert seconds() == before


class User:
    """Stands for the client of the user service."""

    async def get(self, _: str) -> dict[str, Any]:
        return {"keys": [{**json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(KEY.public_key())), "kid": "k"}]}


async def test_reads_of_tokens_and_keys_are_counted() -> None:
    def reads(cache: str) -> list[float]:
        return [sample("feedmill_cache_reads_total", cache=cache, outcome=one) for one in ("hit", "miss")]

    verifier = TokenVerifier(RemoteKeys(cast(ServiceClient, User())))
    tokens, keys = reads("access_tokens"), reads("token_keys")
    for value in (token(), token(), token(sub="7")):
        await verifier.signed(value)
    assert reads("access_tokens") == [tokens[0] + 1, tokens[1] + 2]
    assert reads("token_keys") == [keys[0] + 1, keys[1] + 1]


async def test_readiness_checks_are_exported_without_being_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_runtime, "CHECK_S", 0.01)
    answers = {"works": True, "fails": False}

    async def checked(runtime: Runtime[Settings]) -> None:
        async def answer_of(name: str) -> bool:
            return answers[name]

        for name in answers:
            runtime.ready_checks[name] = partial(answer_of, name)

    async def exported() -> bool:
        return all(sample("feedmill_check_passed", check=name) == passed for name, passed in answers.items())

    app = create_app("things", settings_for(Settings, {}), checked)
    async with app.router.lifespan_context(app):
        await eventually(exported)
        answers.update(works=False, fails=True)
        await eventually(exported)
    assert "checks" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_a_failing_check_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_runtime, "READY_DEADLINE_S", 0.05)

    async def broken(runtime: Runtime[Settings]) -> None:
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


def outcome(answer: httpx2.Response) -> tuple[int, str, str | None]:
    return answer.status_code, answer.json()["code"], answer.headers.get("retry-after")


async def test_too_much_at_once_is_refused_before_any_work() -> None:
    async with serving(max_in_flight=1) as (app, http):
        async with holding(app, http.get("/v1/slow", headers=at("192.0.2.1"))):
            answer = await http.get("/v1/things/x", headers=at("192.0.2.2"))
            assert outcome(answer) == (503, "overloaded", "1")
            assert (await http.get("/health/live")).status_code == 200
            internal = {"Authorization": ServiceTokens(SECRET, "services.feed").header()}
            assert (await http.get("/internal/things", headers=internal)).status_code == 200
        assert (await http.get("/v1/things/x", headers=at("192.0.2.2"))).status_code == 404


@pytest.mark.parametrize("share", ["account", "address"])
async def test_one_caller_does_not_take_what_others_need(share: str) -> None:
    """An account counts once over all its addresses, and an address once over all its accounts."""
    async with serving(max_in_flight=32) as (app, http):
        count = {"account": 2, "address": 4}[share]
        who = bearer(token()) if share == "account" else {}
        addresses = [f"192.0.2.{i if share == 'account' else 1}" for i in range(count + 1)]
        slow = [http.get("/v1/slow", headers=at(address, **who)) for address in addresses[:-1]]
        async with holding(app, *slow):
            answer = await http.get("/v1/things/x", headers=at(addresses[-1], **who))
            assert outcome(answer) == (429, "too_many_in_progress", "1")
            other = at("192.0.2.99", **bearer(token(sub="7")))
            assert (await http.get("/v1/things/x", headers=other)).status_code == 404
        assert (await http.get("/v1/things/x", headers=at(addresses[-1], **who))).status_code == 404


class Later:
    """Stands for the request limits."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def count_later(self, scope: Scope) -> None:
        self.paths.append(scope["path"])


async def test_what_is_refused_before_any_work_is_counted_all_the_same() -> None:
    async with serving(max_in_flight=1) as (app, http):
        limits = app.state.request_limits
        later = app.state.request_limits = Later()
        async with holding(app, http.get("/v1/slow")):
            for _ in range(3):
                assert (await http.get("/v1/things/x")).status_code == 429
        assert later.paths == ["/v1/things/x"] * 3
        app.state.request_limits = limits


async def test_nobody_has_a_share_where_limits_are_lifted() -> None:
    async with serving(max_in_flight=16, rate_limits=False) as (app, http):
        slow = [http.get("/v1/slow", headers=bearer(token())) for _ in range(15)]
        async with holding(app, *slow):
            assert (await http.get("/v1/things/x", headers=bearer(token()))).status_code == 404


async def test_a_service_says_for_whom_it_calls_and_nobody_else_may(client: httpx2.AsyncClient) -> None:
    headers = {"Authorization": ServiceTokens(SECRET, "services.feed").header(), "X-Caller": "5 192.0.2.1"}
    assert (await client.get("/internal/things", headers=headers)).json()["for"] == "5 192.0.2.1"
    assert (await client.get("/internal/things", headers={"X-Caller": "5 192.0.2.1"})).status_code == 403


async def never() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.Event().wait()


async def test_bodies_on_their_way_take_nothing_of_what_works() -> None:
    async with serving(max_in_flight=1) as (app, http):
        async with holding(app, http.put("/v1/uploads/5", content=never(), headers=at("192.0.2.1"))):
            assert (await http.get("/v1/things/x", headers=at("192.0.2.1"))).status_code == 404
        async with holding(app, http.get("/v1/slow", headers=at("192.0.2.1"))):
            answer = await http.put("/v1/uploads/5", content=b"all at once", headers=at("192.0.2.2"))
            assert outcome(answer) == (503, "overloaded", "1")
        assert (await http.put("/v1/uploads/5", content=b"all at once")).json() == 11


async def test_an_account_sends_four_bodies_at_once() -> None:
    async with serving() as (app, http):
        sent = [http.put("/v1/uploads/5", content=never(), headers=at(f"192.0.2.{i}")) for i in range(4)]
        async with holding(app, *sent):
            answer = await http.put("/v1/uploads/5", content=b"x", headers=at("192.0.2.9"))
            assert outcome(answer) == (429, "too_many_in_progress", "1")
            assert (await http.put("/v1/uploads/6", content=b"x", headers=at("192.0.2.9"))).json() == 1


async def test_a_body_that_is_there_is_not_on_its_way() -> None:
    async with serving() as (app, http):
        at_work = [http.put("/v1/uploads/5?works=true", content=b"x") for _ in range(4)]
        async with holding(app, *at_work):
            assert (await http.put("/v1/uploads/5", content=b"x")).json() == 1


@pytest.mark.parametrize("path", ["/v1/uploads/5", "/v1/boxes"])
async def test_a_body_that_stops_is_given_up(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(middleware, "GRACE_S", 0.02)
    async with serving() as (_, http):
        method = "PUT" if "uploads" in path else "POST"
        answer = await http.request(method, path, content=never(), headers={"Content-Type": "application/json"})
        assert outcome(answer) == (408, "request_timeout", None)


@pytest.mark.parametrize(("bound", "other"), [("GRACE_S", "BODY_S"), ("BODY_S", "GRACE_S")])
async def test_a_body_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch, bound: str, other: str) -> None:
    """It is cancelled because its rate is too low, or because it takes too long as a whole."""
    monkeypatch.setattr(middleware, bound, 0.05)
    monkeypatch.setattr(middleware, other, 1_000_000)
    sent = 0

    async def drip() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            await asyncio.sleep(0.001)
            sent += 1
            yield b"x"

    async with serving() as (_, http):
        answer = await http.put("/v1/uploads/5", content=drip())
        assert outcome(answer) == (408, "request_timeout", None)
        assert sent > 1


async def test_our_own_slowness_is_not_the_senders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "GRACE_S", 0.05)
    messages = [{"type": "http.request", "body": b"x", "more_body": more} for more in (True, False)]

    async def receive() -> Message:
        return messages.pop(0)

    bounded = middleware._bounded(receive, 10)
    await bounded()
    await asyncio.sleep(0.1)
    assert (await bounded())["more_body"] is False


@pytest.mark.parametrize(("path", "size"), [("/v1/auth/boxes", 8 * 1024), ("/v1/boxes", 256 * 1024)])
async def test_a_body_is_as_large_as_its_route_needs(client: httpx2.AsyncClient, path: str, size: int) -> None:
    for more, status in ((0, 400), (1, 413)):
        answer = await client.post(path, content=b"x" * (size + more), headers={"Content-Type": "application/json"})
        assert answer.status_code == status


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
async def test_encoded_bodies_are_not_taken(client: httpx2.AsyncClient, encoding: str) -> None:
    answer = await client.post("/v1/boxes", content=b"{}", headers={"Content-Encoding": encoding})
    assert (*outcome(answer), answer.headers["accept-encoding"]) == (415, "encoded_body", None, "identity")
    plain = await client.post("/v1/boxes", json={}, headers={"Content-Encoding": "Identity"})
    assert plain.status_code == 422


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("count", [5, 20, 21, 5_000])
async def test_a_refusal_lists_twenty_errors_whatever_was_sent(
    client: httpx2.AsyncClient, count: int, nested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = 0

    def counting(fault: object) -> int:
        nonlocal looked_at
        looked_at += 1
        return count_of(fault)

    monkeypatch.setattr(problems, "count_of", counting)
    unknown = {f"unknown{i}": 1 for i in range(count)}
    body = {"thing": {"name": "x", **unknown}} if nested else {"thing": {"name": "x"}, **unknown}
    problem = (await client.post("/v1/boxes", json=body)).json()
    listed = min(count, 20)
    prefix = "thing." if nested else ""
    assert [error["field"] for error in problem["errors"]] == [f"{prefix}unknown{i}" for i in range(listed)]
    assert problem.get("errors_omitted", 0) == count - listed
    assert problem["detail"] == ("1 field is not valid." if count == 1 else f"{count} fields are not valid.")
    assert looked_at < 100, "work that grows with what was sent"


async def test_a_long_name_is_not_repeated(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/boxes", json={"x" * 10_000: 1})
    assert len(answer.content) < 1_000


class WaitingOutbox:
    """The outbox of a service whose Kafka is down."""

    waited_s = 0.0

    async def run_direct(self) -> None:
        await asyncio.Event().wait()

    run_relay = flush = run_direct


async def test_acts_are_refused_while_their_events_wait_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_runtime, "FLUSH_S", 0.05)  # a stopping application waits this long for the outbox
    outbox = WaitingOutbox()

    async def acting(runtime: Runtime[Settings]) -> object:
        runtime.relay(cast("Outbox", outbox))
        return await compose(runtime)

    app = create_app(
        "things", settings_for(Settings, {}, outbox_wait_s=60), acting, [router], eventless=["/v1/auth/refresh"]
    )
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
        for outbox.waited_s, status in ((59, 201), (60, 503), (0, 201)):
            answer = await http.post("/v1/things", json={"name": "a"}, headers=bearer(token()))
            assert answer.status_code == status
            assert (await http.get("/v1/things/x")).status_code == 404
            assert (await http.post("/v1/auth/refresh")).status_code == 404
