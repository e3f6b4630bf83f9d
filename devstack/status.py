"""The table of `status`."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from devstack import ports
from devstack.names import GATEWAY_PORT
from devstack.processes import ProcessTable
from devstack.stack import Stack
from devstack.stores import ALL, Endpoints
from libs.common.core.console import columns

Row = tuple[str, str, str, str, str]
HEADER: Row = ("NAME", "STATE", "PID", "PORT", "MEMORY")
MEGABYTE = 1024 * 1024


def status(stack: Stack) -> str:
    """Every process with its state, port and resident memory."""
    stores = stack.provider()
    rows = [_process(stack, name) for name in stack.names()]
    if stores.name == "processes":
        rows = [*(_process(stack, name) for name in ALL), *rows]
    else:
        rows = [*_foreign(stores.name, stores.endpoints()), *rows]
    rows += [_process(stack, name) for name in stack.observability.names()]
    return columns([HEADER, *rows, ("total", "", "", "", _megabytes(stack.table, [row[0] for row in rows]))])


def _process(stack: Stack, name: str) -> Row:
    identity = stack.table.find(name)
    if identity is None:
        state = "died" if name in stack.table.names() else "stopped"
        return (name, state, "-", "-", "-")
    port = stack.state.port(name, GATEWAY_PORT if name == "gateway" else None)
    return (name, "running", str(identity.pid), str(port), _megabytes(stack.table, [name]))


def _foreign(provider: str, endpoints: Endpoints) -> list[Row]:
    return [_answering(provider, name, address) for name, address in vars(endpoints).items() if address]


def _answering(provider: str, name: str, address: str) -> Row:
    """Of several addresses the first is asked."""
    first = address.split(",")[0]
    url = urlsplit(first if "://" in first else f"//{first}")
    port = url.port or 0
    state = "answers" if ports.answers(url.hostname or "127.0.0.1", port) else "silent"
    return (name, f"{state} ({provider})", "-", str(port), "-")


def _megabytes(table: ProcessTable, names: Iterable[str]) -> str:
    found = (table.find(name) for name in names)
    return f"{sum(identity.rss_bytes() for identity in found if identity) // MEGABYTE} MB"
