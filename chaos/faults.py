"""What is done to the running system, and undone."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from devstack.stack import Stack
from devstack.stores import ALL

KILLED = ("user", "media", "post", "interaction", "feed", "fanout", "counters", "media-worker")
FROZEN = ("feed", "fanout", "counters", "interaction")
Act = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Fault:
    """`begin` returns when it is done, `end` when what was taken away runs again."""

    name: str
    begin: Act
    end: Act


def faults(stack: Stack) -> Sequence[Fault]:
    """Every store killed and frozen, every deployable killed, some frozen so long that others take their work over.

    Who kills is also who starts again: on one machine nobody else does.
    """
    stores = stack.provider()
    found = [Fault(f"{one}: kill -9", partial(stack.table.kill, one), partial(stack.up, [one])) for one in KILLED]
    found += [Fault(f"{one}: frozen", partial(_stop, stack, one), partial(_go_on, stack, one)) for one in FROZEN]
    found += [Fault(f"{one}: frozen", partial(stores.pause, one), partial(stores.resume, one)) for one in ALL]
    if stores.name == "processes":
        found += [Fault(f"{one}: kill -9", partial(stack.table.kill, one), stack.start_stores) for one in ALL]
    return found


def _stop(stack: Stack, name: str) -> None:
    stack.table.signal_tree(name, signal.SIGSTOP)


def _go_on(stack: Stack, name: str) -> None:
    stack.table.signal_tree(name, signal.SIGCONT)
