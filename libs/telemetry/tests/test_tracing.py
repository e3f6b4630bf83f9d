"""Spans: which exist, what they say, and what an unavailable collector does to a process."""

import asyncio
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from libs.telemetry import calls, tracing
from libs.telemetry.calls import Query, Store
from libs.telemetry.tracing import (
    RELEASE,
    child_span,
    is_sampled,
    is_sampled_parent,
    remote_context,
    remote_span,
    start_remote,
    trace_ids,
    traceparent,
)

ROOT = Path(__file__).parents[3]
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
# Two seconds of a collector that refuses connections, then of one that accepts them and says nothing.
AWAY = """
import asyncio, socket, sys, time
from opentelemetry import trace
from libs.telemetry.tracing import configure_tracing, flush_spans

listening = socket.create_server(("127.0.0.1", 0))
port = listening.getsockname()[1]
if sys.argv[1] == "refuses":
    listening.close()
configure_tracing("away", "", f"http://127.0.0.1:{port}", 1.0)
slowest, until = 0.0, time.monotonic() + 2
while time.monotonic() < until:
    started = time.thread_time()
    for _ in range(100):
        trace.get_tracer("test").start_span("span").end()
    slowest = max(slowest, time.thread_time() - started)
started = time.monotonic()
asyncio.run(flush_spans())
print(f"slowest={slowest:.3f} flush={time.monotonic() - started:.3f}")
"""


def test_a_trace_goes_on_from_the_caller_to_the_next_call(spans: InMemorySpanExporter) -> None:
    with remote_span("GET", SpanKind.SERVER, SAMPLED):
        with child_span("call", SpanKind.CLIENT, {"a": 1}):
            sent = traceparent()
        with Query("redis", "GET"):
            pass
    call, query, server = spans.get_finished_spans()
    assert [span.name for span in (call, query, server)] == ["call", "GET", "GET"]
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == SPAN
    assert server.context is not None
    assert [span.parent for span in (call, query)] == [server.context, server.context]
    assert call.context is not None
    assert sent == f"00-{TRACE}-{call.context.span_id:016x}-01"


def test_nothing_is_recorded_in_a_trace_that_is_not_sampled(spans: InMemorySpanExporter) -> None:
    with remote_span("GET", SpanKind.SERVER, UNSAMPLED), child_span("call", SpanKind.CLIENT, {}), Query("redis", "GET"):
        assert not is_sampled()
        assert (traceparent(), trace_ids()) == (UNSAMPLED, (TRACE, SPAN))
    assert spans.get_finished_spans() == ()


def test_own_work_has_no_spans(spans: InMemorySpanExporter) -> None:
    with child_span("call", SpanKind.CLIENT, {}), Query("redis", "GET"):
        assert (traceparent(), trace_ids()) == (None, None)
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize("parent", [None, "", "nonsense", f"00-{TRACE}-{'0' * 16}-01"])
def test_without_a_valid_caller_a_trace_begins(spans: InMemorySpanExporter, parent: str | None) -> None:
    with remote_span("GET", SpanKind.SERVER, parent):
        pass
    (span,) = spans.get_finished_spans()
    assert span.parent is None


def test_the_short_look_at_a_header_agrees_with_parsing_it() -> None:
    for flags in range(256):
        parent = f"00-{TRACE}-{SPAN}-{flags:02x}"
        found = remote_context(parent)
        assert found is not None
        assert is_sampled_parent(parent) is found.trace_flags.sampled
    assert not is_sampled_parent("")
    assert not is_sampled_parent(None)


def test_a_span_has_the_class_of_an_error_and_no_text(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="maria@example"), remote_span("GET", SpanKind.SERVER, SAMPLED):
        raise ValueError("maria@example.org is taken")
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes == {"error.type": "ValueError"}
    assert "maria" not in span.to_json()


def test_a_cancelled_call_is_no_error(spans: InMemorySpanExporter) -> None:
    """The slower of two hedged calls is cancelled, and the trace must not count as failed."""
    with pytest.raises(asyncio.CancelledError), remote_span("GET", SpanKind.SERVER, SAMPLED):
        raise asyncio.CancelledError
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes == {"feedmill.cancelled": True}


def test_a_query_lasts_until_its_rows_are_there(spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_places", {})
    calls.set_place("cassandra", "feedmill_post", "10.0.0.7", 9042)
    with remote_span("GET", SpanKind.SERVER, SAMPLED), Query("cassandra", "posts_by_id.get", "SELECT posts_by_id"):
        began_ns = time.time_ns()
        while time.time_ns() < began_ns + 20_000_000:
            pass
    query, _ = spans.get_finished_spans()
    assert (query.name, query.kind) == ("SELECT posts_by_id", SpanKind.CLIENT)
    assert query.attributes == {
        "db.system.name": "cassandra",
        "db.operation.name": "SELECT",
        "db.collection.name": "posts_by_id",
        "db.query.summary": "SELECT posts_by_id",
        "db.namespace": "feedmill_post",
        "server.address": "10.0.0.7",
        "server.port": 9042,
    }
    assert query.start_time is not None
    assert query.end_time is not None
    assert abs(query.start_time - began_ns) < 5_000_000
    assert query.end_time - query.start_time >= 20_000_000


@pytest.mark.parametrize(
    ("store", "statement", "said"),
    [
        ("cassandra", "BATCH posts_by_id", {"operation.name": "BATCH", "collection.name": "posts_by_id"}),
        ("postgres", "SELECT sessions", {"operation.name": "SELECT", "collection.name": "sessions"}),
        ("postgres", "BEGIN", {"operation.name": "BEGIN"}),
        ("redis", "GET", {"operation.name": "GET"}),
        ("redis", "PIPELINE", {"operation.name": "PIPELINE"}),
        ("redis", "FCALL push_each", {"operation.name": "FCALL", "stored_procedure.name": "push_each"}),
    ],
)
def test_the_name_of_a_statement_says_what_it_does(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, store: Store, statement: str, said: dict[str, str]
) -> None:
    monkeypatch.setattr(calls, "_places", {})
    with remote_span("GET", SpanKind.SERVER, SAMPLED), Query(store, statement):
        pass
    query, _ = spans.get_finished_spans()
    system = {"postgres": "postgresql"}.get(store, store)
    assert query.attributes == {
        "db.system.name": system,
        "db.query.summary": statement,
        **{f"db.{name}": value for name, value in said.items()},
    }


def test_a_span_that_is_not_current_has_no_children(spans: InMemorySpanExporter) -> None:
    span = start_remote("send posts", SpanKind.CLIENT, SAMPLED)
    assert trace_ids() is None
    tracing.end(span)
    assert [span.name for span in spans.get_finished_spans()] == ["send posts"]


class Away(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE


def test_lost_spans_are_logged_once_a_minute(monkeypatch: pytest.MonkeyPatch, spans: InMemorySpanExporter) -> None:
    start_remote("span", SpanKind.SERVER, SAMPLED).end()
    now, exporter = 1_000.0, tracing._QuietExporter(Away())
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with capture_logs() as logs:
        for _ in range(130):
            exporter.export(spans.get_finished_spans())
            now += 1
    assert [line["count"] for line in logs] == [1, 60, 60]
    assert {line["event"] for line in logs} == {"spans_not_exported"}


@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_a_collector_that_is_away_delays_nothing(how: str) -> None:
    ran = subprocess.run([sys.executable, "-c", AWAY, how], cwd=ROOT, capture_output=True, text=True, check=True)
    *logged, figures = ran.stdout.splitlines()
    found = re.fullmatch(r"slowest=([\d.]+) flush=([\d.]+)", figures)
    assert found
    slowest_s, flush_s = map(float, found.groups())
    assert slowest_s < 0.2  # CPU of a hundred spans, on a machine that does other work, too
    assert flush_s < tracing.FLUSH_S + 1
    assert len(logged) <= 1
    assert ran.stderr == ""


ENDING = """
import asyncio, http.server, threading
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from libs.telemetry.tracing import configure_tracing, flush_spans

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        print(self.path, len(request.resource_spans[0].scope_spans[0].spans), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): ...

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
configure_tracing("ending", "", f"http://127.0.0.1:{server.server_port}/", 1.0)
for _ in range(700):
    trace.get_tracer("test").start_span("span").end()
asyncio.run(flush_spans())
"""


def test_a_process_that_ends_exports_its_last_spans() -> None:
    ran = subprocess.run([sys.executable, "-c", ENDING], cwd=ROOT, capture_output=True, text=True, check=True)
    paths, counts = zip(*map(str.split, ran.stdout.splitlines()), strict=True)
    assert set(paths) == {"/v1/traces"}
    assert sum(map(int, counts)) == 700


def test_the_release_is_that_of_the_project() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == RELEASE
