"""The context of the current request or event: its id, deadline and caller."""

import math
import time
from contextvars import ContextVar
from dataclasses import dataclass

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)
_caller: ContextVar["Caller | None"] = ContextVar("caller", default=None)


@dataclass(frozen=True, slots=True)
class Caller:
    """The origin of a request: the account of its token, and the client's address as reported by the gateway."""

    account: int | None
    address: str | None

    def header(self) -> str:
        """The header for calls between services, such as `17 203.0.113.9`; `-` stands for an unknown part."""
        return f"{'-' if self.account is None else self.account} {self.address or '-'}"

    @classmethod
    def parse(cls, header: str) -> "Caller | None":
        """The inverse of `header`; None for any other text."""
        account, _, address = header.partition(" ")
        if not address or not (account == "-" or (account.isascii() and account.isdigit())):
            return None
        return cls(None if account == "-" else int(account), None if address == "-" else address)


def request_id() -> str:
    """The id of the current request; empty outside of a request."""
    return _request_id.get()


def set_request_id(value: str) -> None:
    """Bind the id to this task and the tasks that it starts."""
    _request_id.set(value)


def remaining_s() -> float:
    """Return the time to the deadline of this task: 0 after it, infinity without one."""
    return max(0.0, _deadline.get() - time.monotonic())


def set_deadline(after_s: float) -> None:
    """Set the deadline of this task, and of the tasks that it starts, `after_s` from now."""
    _deadline.set(time.monotonic() + after_s)


def caller() -> Caller | None:
    """The caller of the current request; None for our own work."""
    return _caller.get()


def set_caller(who: Caller | None) -> None:
    """Bind the caller to this task and the tasks that it starts."""
    _caller.set(who)
