"""A Redis Cluster of three nodes, as processes of the test."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

NODES = 3
DEADLINE_S = 20.0


@contextmanager
def redis_cluster(directory: Path) -> Iterator[str]:
    """The address of one of the nodes."""
    ports = _free_ports(2 * NODES)
    nodes = list(zip(ports[:NODES], ports[NODES:], strict=True))
    with ExitStack() as stack:
        for port, bus_port in nodes:
            process = stack.enter_context(_node(directory / str(port), port, bus_port))
            stack.callback(process.kill)
        for port, _ in nodes:
            _await(port, "PING", "PONG")
        addresses = [f"127.0.0.1:{port}" for port, _ in nodes]
        create = ["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"]
        subprocess.run(create, check=True, capture_output=True, timeout=DEADLINE_S)
        for port, _ in nodes:
            _await(port, "CLUSTER INFO", "cluster_state:ok")
        yield f"redis://{addresses[0]}/0"


def _node(directory: Path, port: int, bus_port: int) -> "subprocess.Popen[bytes]":
    directory.mkdir()
    options = {"port": port, "cluster-port": bus_port, "cluster-enabled": "yes", "save": "", "bind": "127.0.0.1"}
    command = ["redis-server", *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
    return subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL)


def _await(port: int, command: str, wanted: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while wanted not in _ask(port, command):
        assert time.monotonic() < end, f"{command} at port {port} does not answer {wanted}"
        time.sleep(0.05)


def _ask(port: int, command: str) -> str:
    call = ["redis-cli", "-p", str(port), *command.split()]
    return subprocess.run(call, check=False, capture_output=True, text=True, timeout=DEADLINE_S).stdout


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
