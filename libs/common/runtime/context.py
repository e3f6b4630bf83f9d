"""What belongs to the request or event in hand, wherever the code is: its id, its trace."""

from contextvars import ContextVar

from opentelemetry import propagate, trace

_request_id: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """The id of the request in hand; empty outside one."""
    return _request_id.get()


def set_request_id(value: str) -> None:
    """Bind the id to this task and what it starts."""
    _request_id.set(value)


def traceparent() -> str | None:
    """The W3C header for what is called from here; None outside a trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")


def trace_id() -> str | None:
    """The trace in hand, as 32 hex digits."""
    span = trace.get_current_span().get_span_context()
    return f"{span.trace_id:032x}" if span.is_valid else None
