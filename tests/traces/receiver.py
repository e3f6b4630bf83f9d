"""An OTLP receiver: collects the spans that processes export."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

Attributes = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Seen:
    """A received span. Ids are hexadecimal. `parent_id` is empty for a root."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: Attributes
    resource: Attributes
    is_error: bool
    started_ns: int

    @property
    def place(self) -> str:
        """The service, and the name of the span or of the store that was asked."""
        return f"{self.service}: {self.attributes.get('db.system.name', self.name)}"


class Receiver:
    """Collects spans that are sent to its address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._spans: list[Seen] = []

    def receive(self, body: bytes) -> None:
        """Add the spans of an export."""
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _plain(group.resource.attributes)
            self._spans += [_seen(span, resource) for scope in group.scope_spans for span in scope.spans]

    def trace_of(self, request_id: str) -> list[Seen]:
        """The spans of the trace in which the request was answered; empty if none has arrived."""
        spans = list(self._spans)
        found = {span.trace_id for span in spans if span.attributes.get("feedmill.request.id") == request_id}
        assert len(found) <= 1, f"a request in {len(found)} traces"
        return [span for span in spans if span.trace_id in found]


def edges(spans: Sequence[Seen]) -> set[tuple[str, str]]:
    """Pairs of `service: name`: a parent, and its child."""
    by_id = {span.span_id: span for span in spans}
    return {(by_id[span.parent_id].place, span.place) for span in spans if span.parent_id in by_id}


def orphans(spans: Sequence[Seen]) -> list[Seen]:
    """The spans whose parent has not arrived."""
    ids = {span.span_id for span in spans}
    return [span for span in spans if span.parent_id and span.parent_id not in ids]


def drawn(spans: Sequence[Seen], parent_id: str = "", indent: int = 0) -> str:
    """Return the trace as an indented tree, for messages of failed tests."""
    children = [span for span in spans if span.parent_id == parent_id]
    return "".join(
        f"{' ' * indent}{span.place} ({span.kind})\n{drawn(spans, span.span_id, indent + 2)}" for span in children
    )


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Receive until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            receiver.receive(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def _seen(span: Span, resource: Attributes) -> Seen:
    return Seen(
        service=str(resource["service.name"]),
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_plain(span.attributes),
        resource=resource,
        is_error=span.status.code == Status.STATUS_CODE_ERROR,
        started_ns=span.start_time_unix_nano,
    )


def _plain(pairs: Iterable[KeyValue]) -> Attributes:
    return {
        pair.key: pair.value.int_value if pair.value.HasField("int_value") else pair.value.string_value
        for pair in pairs
    }
