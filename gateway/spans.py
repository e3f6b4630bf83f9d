"""Spans of the gateway. nginx gives their ids to the services before it has the answer, so they are made afterwards."""

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, Tracer
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TracerProvider

from gateway.lines import Line

_MS_NS = 1_000_000
_SCOPE = InstrumentationScope("feedmill.gateway")


class Spans:
    """Exports a span for each sampled request, by the span processors of the provider.

    The name of the service is `gateway`, because the span is what nginx did.
    """

    def __init__(self, provider: TracerProvider) -> None:
        tracer = provider.get_tracer(_SCOPE.name)
        self._tracer = tracer if isinstance(tracer, Tracer) else None
        self._resource = Resource({SERVICE_NAME: "gateway"})
        if self._tracer:
            self._resource = self._tracer.resource.merge(self._resource)

    def export(self, line: Line) -> None:
        """Export the span of a sampled request. Without the SDK, do nothing."""
        if self._tracer:
            self._tracer.span_processor.on_end(_span(line, self._resource))


def _span(line: Line, resource: Resource) -> ReadableSpan:
    ended_ms = round(line.ended_at * 1000)
    method = "_OTHER" if line.method == "other" else line.method  # the name in the semantic conventions
    is_failed = line.status.startswith("5")
    optional = {
        "url.path": line.path,
        "feedmill.cache.status": line.cache,
        "feedmill.upstream.seconds": line.upstream_seconds,
        "error.type": line.status if is_failed else "",
    }
    return ReadableSpan(
        name=f"{line.method} {line.route}",
        context=SpanContext(
            int(line.trace_id, 16), int(line.span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
        ),
        resource=resource,
        kind=SpanKind.SERVER,
        status=Status(StatusCode.ERROR if is_failed else StatusCode.UNSET),
        start_time=(ended_ms - round(line.seconds * 1000)) * _MS_NS,
        end_time=ended_ms * _MS_NS,
        attributes={
            "http.request.method": method,
            "http.route": line.route,
            "http.response.status_code": int(line.status),
            "http.response.body.size": line.body_bytes,
            "url.scheme": "http",
            "network.protocol.version": line.protocol.removeprefix("HTTP/"),
            **{name: value for name, value in optional.items() if value},
        },
        instrumentation_scope=_SCOPE,
    )
