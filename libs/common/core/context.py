"""What belongs to the request or event in hand, wherever the code is: its id, its trace, its deadline, its caller."""

import math
import time
from contextvars import ContextVar
from dataclasses import dataclass

from opentelemetry import propagate, trace

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)
_caller: ContextVar["Caller | None"] = ContextVar("caller", default=None)


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom a request is: the account of its token, and the client's address as the gateway names it."""

    account: int | None
    address: str | None

    def header(self) -> str:
        """For calls between services, such as `17 203.0.113.9`; `-` stands for what is not known."""
        return f"{'-' if self.account is None else self.account} {self.address or '-'}"

    @classmethod
    def parse(cls, header: str) -> "Caller | None":
        """What `header` says; None for anything else."""
        account, _, address = header.partition(" ")
        if not address or not (account == "-" or (account.isascii() and account.isdigit())):
            return None
        return cls(None if account == "-" else int(account), None if address == "-" else address)


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


def caller() -> Caller | None:
    """For whom the request in hand is; None for our own work."""
    return _caller.get()


def set_caller(who: Caller | None) -> None:
    """Bind the caller to this task and what it starts."""
    _caller.set(who)


def traceparent() -> str | None:
    """The W3C header for what is called from here; None outside a trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")


def trace_id() -> str | None:
    """The trace in hand, as 32 hex digits."""
    span = trace.get_current_span().get_span_context()
    return f"{span.trace_id:032x}" if span.is_valid else None
