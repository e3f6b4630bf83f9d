"""Forged lines, and requests through the real nginx, in the metrics and spans of gateway-metrics."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracerProvider, SpanKind, StatusCode
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.exposition import generate_latest

from devstack.ports import choose
from gateway.lines import parse
from gateway.observer import OUTCOMES, Connections, LineReceiver, receive_lines, record
from gateway.settings import GatewaySettings
from gateway.spans import Spans
from gateway.tests.nginx import running_nginx
from gateway.tests.test_lines import datagram
from gateway.tests.upstream import Upstream
from libs.common.testing.eventually import eventually
from libs.deployables import service_urls

REQUESTS = "feedmill_gateway_request_seconds_count"
WAITED = "feedmill_gateway_upstream_seconds"
UNREAD = "feedmill_gateway_lines_unread_total"
CACHE = "feedmill_gateway_cache_total"
PEER = ("127.0.0.1", 9)
OFF = Spans(NoOpTracerProvider())


def exposition() -> str:
    """Return all metrics in the format that has exemplars."""
    return str(generate_latest(REGISTRY).decode())  # type: ignore[no-untyped-call]


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def tracing() -> tuple[Spans, InMemorySpanExporter]:
    """Return what exports spans, and where they arrive."""
    exporter, provider = (
        InMemorySpanExporter(),
        TracerProvider(resource=Resource({"service.namespace": "test"}), shutdown_on_exit=False),
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Spans(provider), exporter


def test_forged_datagrams_are_counted_and_nothing_else() -> None:
    spans, exporter = tracing()
    receiver = LineReceiver(spans)
    forged = [b"", b"\xff" * 60_000, datagram(route="/made-up"), datagram(status=[]), datagram(trace_flags="01")[:-2]]
    before, series = value(UNREAD, why="unparsed"), len(exposition().splitlines())
    for one in forged:
        receiver.datagram_received(one, PEER)
    assert value(UNREAD, why="unparsed") - before == len(forged)
    assert len(exposition().splitlines()) == series
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize(("status", "label"), [("200", "200"), ("499", "499"), ("000", "other"), ("777", "other")])
def test_the_values_of_a_status_are_bounded(status: str, label: str) -> None:
    labels = {"method": "GET", "route": "/v1/saved", "status": label}
    before = value(REQUESTS, **labels)
    record(parse(datagram(route="/v1/saved", status=status)))
    assert value(REQUESTS, **labels) - before == 1


def test_the_wait_for_a_service_has_a_metric_of_its_own() -> None:
    labels = {"method": "POST", "route": "/v1/saved"}
    before = value(f"{WAITED}_sum", **labels), value(f"{WAITED}_count", **labels)
    record(parse(datagram(method="POST", route="/v1/saved", seconds=9.0, upstream_seconds="0.250")))
    record(parse(datagram(method="POST", route="/v1/saved", seconds=9.0, upstream_seconds="")))
    assert value(f"{WAITED}_sum", **labels) - before[0] == pytest.approx(0.25)
    assert value(f"{WAITED}_count", **labels) - before[1] == 1


@pytest.mark.parametrize(("cache", "outcome"), OUTCOMES.items())
def test_each_answer_of_the_cache_has_an_outcome(cache: str, outcome: str) -> None:
    before = value(CACHE, kind="large", outcome=outcome)
    record(parse(datagram(cache=cache, media_kind="large")))
    assert value(CACHE, kind="large", outcome=outcome) - before == 1


@pytest.mark.stores  # it opens a socket
async def test_lines_that_the_kernel_drops_are_counted() -> None:
    before, port = value(UNREAD, why="dropped"), choose(set())
    async with receive_lines("127.0.0.1", port, OFF) as receiver:
        receiver.count_dropped()
        assert value(UNREAD, why="dropped") == before
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            while value(UNREAD, why="dropped") == before:  # nothing is read meanwhile
                for _ in range(1_000):
                    sender.sendto(datagram(), ("127.0.0.1", port))
                receiver.count_dropped()
        dropped = value(UNREAD, why="dropped")
        receiver.count_dropped()
        assert value(UNREAD, why="dropped") == dropped


def test_a_sample_leads_to_its_trace() -> None:
    record(parse(datagram(route="/v1/mutes", trace_flags="01", trace_id="ab" * 16)))
    record(parse(datagram(route="/v1/blocks", trace_flags="00", trace_id="cd" * 16)))
    text = exposition()
    assert f'# {{trace_id="{"ab" * 16}"}} 0.012' in text
    assert "cd" * 16 not in text


def test_a_span_has_the_ids_and_times_of_the_line() -> None:
    spans, exporter = tracing()
    receiver = LineReceiver(spans)
    receiver.datagram_received(datagram(trace_flags="00"), PEER)
    receiver.datagram_received(datagram(trace_flags="01", cache="HIT"), PEER)
    (span,) = exporter.get_finished_spans()
    assert span.context
    assert f"{span.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{span.context.span_id:016x}" == "8448eb211c80319c"
    assert (span.parent, span.kind, span.name) == (None, SpanKind.SERVER, "GET /v1/posts")
    assert (span.start_time, span.end_time) == (1_700_000_000_111_000_000, 1_700_000_000_123_000_000)
    assert span.resource.attributes == {SERVICE_NAME: "gateway", "service.namespace": "test"}
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/v1/posts",
        "http.response.status_code": 200,
        "http.response.body.size": 512,
        "url.scheme": "http",
        "url.path": "/v1/posts/7",
        "network.protocol.version": "1.1",
        "feedmill.cache.status": "HIT",
        "feedmill.upstream.seconds": "0.011",
    }
    assert '"parent_id": null' in span.to_json()


def test_a_failure_of_the_server_is_an_error_of_the_span() -> None:
    spans, exporter = tracing()
    spans.export(parse(datagram(status="503", method="other", path="", upstream_seconds="")))
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes
    assert (span.attributes["error.type"], span.attributes["http.request.method"]) == ("503", "_OTHER")
    assert not {"url.path", "feedmill.upstream.seconds", "feedmill.cache.status"} & set(span.attributes)


def test_without_tracing_nothing_is_exported() -> None:
    LineReceiver(OFF).datagram_received(datagram(trace_flags="01"), PEER)


PAGE = "Active connections: 3 \nserver accepts handled requests\n {} {} 90 \nReading: 0 Writing: 2 Waiting: 1 \n"


async def test_connections_are_counted_without_the_one_that_asks() -> None:
    pages = iter([PAGE.format(50, 50), PAGE.format(54, 53), "no page", PAGE.format(3, 3)])
    names = ("accepted", "handled")
    before = [value("feedmill_gateway_accepted_connections_total", outcome=name) for name in names]
    connections = Connections("http://nginx")
    seen = []
    async with httpx2.AsyncClient(
        transport=httpx2.MockTransport(lambda _: httpx2.Response(200, text=next(pages)))
    ) as c:
        for _ in range(4):
            await connections.count(c)
            counts = [value("feedmill_gateway_accepted_connections_total", outcome=name) for name in names]
            seen.append([now - then for now, then in zip(counts, before, strict=True)])
            seen[-1].append(value("feedmill_gateway_up"))
    assert seen == [[0, 0, 1], [3, 2, 1], [3, 2, 0], [5, 4, 1]]  # the last one after nginx was started again
    states = [value("feedmill_gateway_connections", state=state) for state in ("reading", "writing", "waiting")]
    assert states == [0, 1, 1]


@dataclass
class Edge:
    """A running nginx, and what received its lines."""

    client: httpx2.AsyncClient
    upstreams: dict[str, Upstream]
    exporter: InMemorySpanExporter
    folder: Path
    port: int
    metrics_port: int
    status_url: str

    async def exactly(self, request: bytes) -> bytes:
        """Send bytes that no HTTP library would send. Return the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        answer = b""
        with contextlib.suppress(ConnectionResetError):  # after the answer to a body that nginx does not read
            while part := await asyncio.wait_for(reader.read(65_536), 10):
                answer += part
        writer.close()
        return answer

    async def span(self, trace_id: str) -> ReadableSpan:
        """Wait for the span of a request."""

        async def exported() -> ReadableSpan | None:
            found = self.exporter.get_finished_spans()
            return next((one for one in found if one.context and f"{one.context.trace_id:032x}" == trace_id), None)

        return await eventually(exported) or pytest.fail("no span")


@contextlib.asynccontextmanager
async def running(folder: Path, ratio: str = "1", *, observed: bool = True) -> AsyncIterator[Edge]:
    """Run nginx with two services, and receive its lines if it is observed."""
    ports = [choose(set())]
    for _ in range(3):
        ports.append(choose(set(ports)))
    gateway, status, metrics, nobody = ports
    spans, exporter = tracing()
    with Upstream("user") as user, Upstream("media") as media:
        urls = dict.fromkeys(service_urls({}), f"http://127.0.0.1:{nobody}") | {"user": user.url, "media": media.url}
        settings = GatewaySettings(
            gateway_port=gateway,
            gateway_status_port=status,
            gateway_metrics_address=f"127.0.0.1:{metrics}",
            trace_ratio=Decimal(ratio),
            service_urls=urls,
        )
        base_url = f"http://127.0.0.1:{gateway}"
        async with (
            receive_lines("127.0.0.1", metrics, spans) if observed else contextlib.nullcontext(),
            httpx2.AsyncClient(base_url=base_url, timeout=10, trust_env=False) as client,
        ):
            with running_nginx(folder, settings):
                services = {"user": user, "media": media}
                yield Edge(client, services, exporter, folder, gateway, metrics, f"http://127.0.0.1:{status}")


@pytest.fixture(scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    async with running(tmp_path_factory.mktemp("edge")) as found:
        yield found


real = pytest.mark.stores
pytestmark = pytest.mark.xdist_group("gateway")
FORM = "multipart/form-data; boundary=b"


@contextlib.asynccontextmanager
async def one_more(name: str, **labels: str) -> AsyncIterator[None]:
    """Wait until exactly one more is counted than before the block, and none is unread."""
    before, unread = value(name, **labels), value(UNREAD, why="unparsed")
    yield

    async def counted() -> bool:
        assert value(name, **labels) - before == 1
        return True

    await eventually(counted)
    assert value(UNREAD, why="unparsed") == unread


@real
@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/v1/users/7?q=1", "/v1/users", "200"),
        ("POST", "/api/v1/users/7/follow", "/v1/users", "200"),
        ("GET", "/v1/users/7/posts", "/v1/users/{id}/posts", "503"),
        ("GET", "/v1/feed", "/v1/feed", "503"),
        ("GET", "/", "/", "200"),
        ("HEAD", "/", "/", "200"),
        ("GET", "/docs/nothing", "/docs", "404"),
        ("GET", "/v1/openapi.json", "/v1/openapi.json", "404"),
        ("GET", "/internal/users", "unmatched", "404"),
        ("BREW", "/v1/users/7", "/v1/users", "405"),
        ("GET", "/v1/users/%00", "unmatched", "400"),
    ],
)
async def test_a_request_is_counted_by_route(edge: Edge, method: str, path: str, route: str, status: str) -> None:
    name = method if method != "BREW" else "other"
    async with one_more(REQUESTS, method=name, route=route, status=status):
        await edge.client.request(method, path)


@real
@pytest.mark.parametrize(
    ("path", "kind", "route"),
    [("/v1/users", "application/json", "/v1/users"), ("/v1/posts", FORM, "/v1/posts")],
)
async def test_a_body_that_is_refused_at_once_has_its_route(edge: Edge, path: str, kind: str, route: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {1 << 40}\r\n"
    async with one_more(REQUESTS, method="POST", route=route, status="413"):
        assert b" 413 " in await edge.exactly(f"{head}Expect: 100-continue\r\nConnection: close\r\n\r\n".encode())


@real
async def test_the_media_cache_is_counted_by_kind(edge: Edge) -> None:
    path, media = "/v1/m/a/1/2/brief/thumbnail.webp", edge.upstreams["media"]
    async with one_more(CACHE, kind="thumbnail", outcome="miss"):
        await edge.client.get(path)
    async with one_more(CACHE, kind="thumbnail", outcome="hit"):
        await edge.client.get(f"/api{path}")
    async with one_more(CACHE, kind="other", outcome="miss"):
        await edge.client.get("/v1/m/a/1/2/brief/poster.webp")
    stale = value(CACHE, kind="thumbnail", outcome="stale")
    media.broken = True
    try:

        async def served_stale() -> bool:
            await edge.client.get(path)
            return value(CACHE, kind="thumbnail", outcome="stale") > stale

        await eventually(served_stale)
    finally:
        media.broken = False


@real
async def test_a_trace_begins_at_the_gateway_whatever_a_client_says(edge: Edge) -> None:
    theirs = "0af7651916cd43dd8448eb211c80319c"
    for flags in ("00", "01"):
        given = {"traceparent": f"00-{theirs}-b7ad6b7169203331-{flags}", "tracestate": "a=b", "baggage": "c=d"}
        got = (await edge.client.get("/v1/users/8", headers=given)).json()["headers"]
        version, trace_id, span_id, sampled = got["traceparent"].split("-")
        assert (version, sampled) == ("00", "01")
        assert trace_id != theirs
        assert not {"tracestate", "baggage"} & set(got)
        span = await edge.span(trace_id)
        assert span.context
        assert f"{span.context.span_id:016x}" == span_id
        assert span.parent is None
        assert span.attributes
        assert span.attributes["http.route"] == "/v1/users"
        assert "url.path" not in span.attributes, "the id of an account"
        assert f'"trace_id":"{trace_id}","span_id":"{span_id}"' in (edge.folder / "stdout").read_text()


@real
@pytest.mark.parametrize(
    "path",
    [
        b'/v1/users/"},{"method":"GET',
        b"/v1/users/%22%7D%2C%0A%7B%22status%22:%22200%22",
        b"/v1/users/\xff\xfe\xc3\x28",
        b"/v1/users/%FF%FE%C3%28%ED%A0%80",
        b"/v1/users/" + b"x" * 8000,
        b"/v1/users" + b"/1" * 4000,
        b"/v1/users/%0d%0a<190>Nov 27 13:11:02 feedmill: {}".replace(b" ", b"%20"),
    ],
    ids=["quotes", "line break", "bytes", "encoded bytes", "8 KB", "8 KB of ids", "syslog"],
)
async def test_a_hostile_path_is_one_request_of_its_route(edge: Edge, path: bytes) -> None:
    async with one_more(REQUESTS, method="GET", route="/v1/users", status="200"):
        answer = await edge.exactly(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    traceparent = re.search(rb'"traceparent": "00-(\w{32})-', answer)
    assert traceparent
    span = await edge.span(traceparent[1].decode())
    assert span.attributes
    assert "url.path" not in span.attributes


@real
async def test_what_is_no_http_is_counted(edge: Edge) -> None:
    # nginx answers what it can't parse as if it had been a GET.
    async with one_more(REQUESTS, method="GET", route="unmatched", status="400"):
        await edge.exactly(b"\x16\x03\x01\x02\x00\x01 no TLS here\r\n\r\n")
    async with one_more(REQUESTS, method="other", route="/v1/users", status="405"):
        await edge.exactly(b"M" * 900 + b" /v1/users HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


@real
async def test_the_status_of_nginx_is_not_public(edge: Edge) -> None:
    async with httpx2.AsyncClient(trust_env=False) as own:
        connections = Connections(edge.status_url)
        await connections.count(own)
        accepted = value("feedmill_gateway_accepted_connections_total", outcome="accepted")
        await edge.exactly(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await connections.count(own)
        assert value("feedmill_gateway_up") == 1
        assert value("feedmill_gateway_accepted_connections_total", outcome="accepted") - accepted >= 1
        assert (await own.get(f"{edge.status_url}/v1/users")).status_code == 404
    for path in ("/", "/stub_status", "/status", "/nginx_status", "//"):
        for host in ("", "x", edge.status_url.removeprefix("http://")):
            answer = await edge.exactly(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert b"Active connections" not in answer
    assert edge.status_url.removeprefix("http://") not in (edge.folder / "stdout").read_text()


@real
async def test_without_an_observer_requests_are_served(tmp_path: Path) -> None:
    async with running(tmp_path, observed=False) as edge:
        answers = [(await edge.client.get("/v1/users/9")).status_code for _ in range(50)]
        assert answers == [200] * 50
        assert (edge.folder / "stderr").read_text() == ""
        async with (
            receive_lines("127.0.0.1", edge.metrics_port, OFF),
            one_more(REQUESTS, method="GET", route="/v1/users", status="200"),
        ):
            await edge.client.get("/v1/users/9")


@real
@pytest.mark.parametrize(("ratio", "seen"), [("0", {"00"}), ("0.5", {"00", "01"}), ("1", {"01"})])
async def test_the_ratio_decides_what_is_sampled(tmp_path: Path, ratio: str, seen: set[str]) -> None:
    async with running(tmp_path, ratio) as edge:
        answers = [(await edge.client.get("/v1/users/9")).json()["headers"]["traceparent"] for _ in range(60)]
        assert {traceparent.rpartition("-")[2] for traceparent in answers} == seen
        sampled = [traceparent for traceparent in answers if traceparent.endswith("-01")]
        for traceparent in sampled:
            await edge.span(traceparent.split("-")[1])
        assert len(edge.exporter.get_finished_spans()) == len(sampled)
