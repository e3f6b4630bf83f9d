"""Traces (ADR 26): spans of requests, events and calls, exported by OTLP. Spans never have values of users."""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from uuid import uuid4

import structlog
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

RELEASE = "0.1.0"
TRACES_PATH = "/v1/traces"
QUEUE = 2_048  # spans that wait for the collector, about 6 MB; beyond it the oldest are lost
BATCH = 512
EXPORT_EVERY_MS = 1_000
EXPORT_S = 5.0  # with the SDK's retries; meanwhile spans wait in the queue
FLUSH_S = 1.0  # at the end of a process; a part of the time that stopping may take
WARN_EVERY_S = 60.0
Attributes = Mapping[str, str | int]
_SAMPLED_ENDS = frozenset("13579bdf")  # the flag is the lowest bit
_PROPAGATOR = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("feedmill")
_log = structlog.get_logger(module=__name__)


def configure_tracing(deployable: str, instance: str, endpoint: str, ratio: float) -> None:
    """Begin to trace. Call it once in a process.

    Args:
        deployable: `service.name` of its spans.
        instance: the name of the replica; if it is empty, a random one.
        endpoint: base URL of an OTLP collector. If it is empty, no span is recorded; requests still have trace ids.
        ratio: the share of traces to sample, where the caller has not decided.
    """
    resource = Resource.create(
        {
            "service.name": deployable,
            "service.namespace": "feedmill",
            "service.instance.id": instance or uuid4().hex,
            "service.version": RELEASE,
        }
    )
    sampler = ParentBased(TraceIdRatioBased(ratio)) if endpoint else ALWAYS_OFF
    provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
    if endpoint:
        provider.add_span_processor(BatchSpanProcessor(_exporter(endpoint), QUEUE, EXPORT_EVERY_MS, BATCH))
    trace.set_tracer_provider(provider)


async def flush_spans() -> None:
    """Export the spans that wait, for at most `FLUSH_S`."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        # The SDK's time-out has no effect, so a daemon does it: it does not stop the process from ending.
        flushing = threading.Thread(target=provider.force_flush, daemon=True)
        flushing.start()
        await asyncio.to_thread(flushing.join, FLUSH_S)


class Spanned:
    """Context manager: makes a span the current one, and ends it. A given `None` changes nothing."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def __enter__(self) -> Span:
        if self._span is None:
            return INVALID_SPAN
        self._token = context.attach(set_span_in_context(self._span))
        return self._span

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if self._span is not None:
            context.detach(self._token)
            end(self._span, error)


def child_span(name: str, kind: SpanKind, attributes: Attributes) -> Spanned:
    """Return a span below the current one, to enter. Outside of a sampled trace there is none, and it costs 0.5 µs."""
    return Spanned(_tracer.start_span(name, kind=kind, attributes=attributes) if is_sampled() else None)


def remote_span(
    name: str, kind: SpanKind, parent: str | None, attributes: Attributes | None = None, links: Sequence[Link] = ()
) -> Spanned:
    """Return a span that continues the trace of a caller or an event, to enter. Arguments: see `start_remote`."""
    return Spanned(start_remote(name, kind, parent, attributes, links))


def start_remote(
    name: str, kind: SpanKind, parent: str | None, attributes: Attributes | None = None, links: Sequence[Link] = ()
) -> Span:
    """Start a span that continues the trace of a caller or an event. It does not become the current one.

    Args:
        name: see the semantic conventions of OpenTelemetry.
        kind: see there, too.
        parent: W3C `traceparent`. Without a valid one a trace begins, and may be sampled.
        attributes: known at the start. Those that are costly to build are better set if the span is recorded.
        links: other spans that caused the work.
    """
    found = remote_context(parent)
    if found is not None and not found.trace_flags.sampled:
        return NonRecordingSpan(found)  # children and logs need only its ids
    outside = Context() if found is None else set_span_in_context(NonRecordingSpan(found), Context())
    return _tracer.start_span(name, outside, kind, attributes, links)


def past_span(name: str, kind: SpanKind, attributes: Attributes, seconds: float, error: BaseException | None) -> None:
    """Record a call that has ended now, below the current span. Call it only if `is_sampled`."""
    ended_ns = time.time_ns()
    started_ns = ended_ns - int(seconds * 1e9)
    end(_tracer.start_span(name, kind=kind, attributes=attributes, start_time=started_ns), error, ended_ns)


def end(span: Span, error: BaseException | None = None, ended_ns: int | None = None) -> None:
    """End a span. Of an error it has only the class, because messages may have values of users."""
    if isinstance(error, asyncio.CancelledError):
        span.set_attribute("feedmill.cancelled", True)  # such as the slower of two hedged calls: no failure
    elif error is not None:
        mark_failed(span, type(error).__qualname__)
    span.end(ended_ns)


def mark_failed(span: Span, error_type: str) -> None:
    """Give a span the status of an error."""
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def is_sampled() -> bool:
    """True if the current trace is sampled. Check it before building attributes or names."""
    return get_current_span().get_span_context().trace_flags.sampled


def is_sampled_parent(traceparent: str | None) -> bool:
    """True if a W3C `traceparent` says that its trace is sampled. It does not parse, because events are many."""
    return traceparent is not None and traceparent[-1:] in _SAMPLED_ENDS


def remote_context(traceparent: str | None) -> SpanContext | None:
    """Parse a W3C `traceparent`; None if it is missing or malformed."""
    if not traceparent:
        return None
    found = get_current_span(_PROPAGATOR.extract({"traceparent": traceparent}, Context())).get_span_context()
    return found if found.is_valid else None


def traceparent() -> str | None:
    """The W3C `traceparent` header for outgoing calls and events; None outside of a trace."""
    span = get_current_span().get_span_context()
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}" if span.is_valid else None


def trace_ids() -> tuple[str, str] | None:
    """The ids of the current trace (32 hex digits) and span (16 hex digits); None outside of a trace."""
    span = get_current_span().get_span_context()
    return (f"{span.trace_id:032x}", f"{span.span_id:016x}") if span.is_valid else None


def _exporter(endpoint: str) -> SpanExporter:
    # These take 6 MB, which processes that export nothing do not need.
    import logging

    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from requests import Session

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it logs each attempt and each lost span
    session = Session()
    session.trust_env = False  # the collector is near; a proxy of the machine is for other addresses
    return _QuietExporter(OTLPSpanExporter(f"{endpoint.rstrip('/')}{TRACES_PATH}", timeout=EXPORT_S, session=session))


class _QuietExporter(SpanExporter):
    """Logs at most one warning a minute while the collector does not answer."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lost = 0
        self._warn_at = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
            if time.monotonic() >= self._warn_at:
                _log.warning("spans_not_exported", count=self._lost)
                self._lost, self._warn_at = 0, time.monotonic() + WARN_EVERY_S
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
