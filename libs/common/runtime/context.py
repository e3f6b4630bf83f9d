"""What belongs to the request or event in hand, wherever the code is: its id, its trace, its deadline."""

import math
import time
from contextvars import ContextVar

from opentelemetry import propagate, trace

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


def request_id() -> str:
    """The id of the request in hand; empty outside one."""
    return _request_id.get()


def set_request_id(value: str) -> None:
    """Bind the id to this task and what it starts."""
    _request_id.set(value)


def remaining_s() -> float:
    """How long whoever waits for this task goes on waiting; infinite when nobody said."""
    return max(0.0, _deadline.get() - time.monotonic())


def set_deadline(after_s: float) -> None:
    """Give this task, and what it starts, so long."""
    _deadline.set(time.monotonic() + after_s)


def traceparent() -> str | None:
    """The W3C header for what is called from here; None outside a trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")


def trace_id() -> str | None:
    """The trace in hand, as 32 hex digits."""
    span = trace.get_current_span().get_span_context()
    return f"{span.trace_id:032x}" if span.is_valid else None
