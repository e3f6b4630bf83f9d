"""Traces: ids that go along over HTTP and Kafka, and stand in every log line."""

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider


def configure_tracing(deployable: str) -> None:
    """Give every request and event a trace. Spans are not exported anywhere yet."""
    trace.set_tracer_provider(TracerProvider(resource=Resource.create({SERVICE_NAME: deployable})))
