"""The faults of the matrix, and how each is undone."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from devstack.names import GATEWAY
from devstack.stack import Stack
from devstack.stores import ALL
from libs.common.testing.proxy import Fault as NetworkFault
from libs.common.testing.proxy import FaultProxy
from libs.deployables import DEPLOYABLES

KILLED = (*(one.name for one in DEPLOYABLES if one.name != "canary"), GATEWAY)  # the canary only watches
FROZEN = ("feed", "fanout", "counters", "interaction")
ON_THE_WAY = (NetworkFault.LATENCY, NetworkFault.RESET, NetworkFault.HALF_OPEN)
HELD_S = 6.0
LONG_S = 120.0
Act = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault. `begin` returns when it is in place, `end` when the dependency answers again."""

    name: str
    begin: Act
    end: Act
    held_s: float = HELD_S


def faults(stack: Stack) -> Sequence[Fault]:
    """Return all faults without a proxy: killed and frozen processes, a long loss of Kafka, no object store.

    A fault that kills also restarts, because nothing else does on one machine.
    """
    stores, table = stack.provider(), stack.table
    found = [_fault(f"{one}: kill -9", partial(table.kill, one), partial(stack.up, [one])) for one in KILLED]
    for one in FROZEN:
        stop, go_on = (partial(table.signal_tree, one, number) for number in (signal.SIGSTOP, signal.SIGCONT))
        found.append(_fault(f"{one}: frozen", stop, go_on))
    if stores.name == "given":
        return found
    objects = stack.state.directory / "data" / "objects"
    if objects.exists():  # in containers it is unreachable
        away = objects.with_name("away")
        found.append(_fault("object store: away", partial(objects.rename, away), partial(away.rename, objects)))
    found += [_fault(f"{one}: frozen", partial(stores.pause, one), partial(stores.resume, one)) for one in ALL]
    found += [_fault(f"{one}: kill -9", partial(stores.kill, one), stack.start_stores) for one in ALL]
    return [*found, _fault("kafka: away for 2 min", partial(stores.kill, "kafka"), stack.start_stores, LONG_S)]


def network_faults(ways: Mapping[str, FaultProxy]) -> Sequence[Fault]:
    """Return faults of the network: slow stores, reset connections, and open connections that fall silent."""
    return [
        Fault(f"{store}: {fault.replace('_', ' ')}", partial(way.impose, fault), way.heal)
        for store, way in ways.items()
        for fault in ON_THE_WAY
    ]


def _fault(name: str, begin: Callable[[], object], end: Callable[[], object], held_s: float = HELD_S) -> Fault:
    return Fault(name, partial(asyncio.to_thread, begin), partial(asyncio.to_thread, end), held_s)
