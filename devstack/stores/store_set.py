"""A set of stores in one directory."""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from devstack.parallel import in_parallel
from devstack.processes import ProcessTable
from devstack.state import State
from devstack.stores.base import Home, Store, StoreName
from devstack.stores.cassandra import Cassandra
from devstack.stores.endpoints import Endpoints
from devstack.stores.kafka import PROXY_PORT, Kafka
from devstack.stores.postgres import Postgres
from devstack.stores.redis import Redis
from libs.common.core import console

ALL: tuple[StoreName, ...] = ("kafka", "cassandra", "postgres", "redis")
KINDS: dict[StoreName, Store] = {"kafka": Kafka(), "cassandra": Cassandra(), "postgres": Postgres(), "redis": Redis()}

# Cassandra needs 3 s on an idle machine; this is for a crowded one.
START_TIMEOUT_S = 180.0


class StoreProcess:
    """One store that can be stopped, killed, frozen and started again on the same port."""

    def __init__(self, kind: Store, home: Home, table: ProcessTable) -> None:
        self._kind, self._home, self._table = kind, home, table
        self._laid_out = home.data_dir.with_name(f"{kind.name}.laid-out")

    @property
    def port(self) -> int:
        return self._home.ports[self._kind.port_names[0]]

    @property
    def ports(self) -> Mapping[str, int]:
        return self._home.ports

    @property
    def endpoint(self) -> str:
        return self._kind.endpoint(self._home)

    def is_running(self) -> bool:
        return self._table.find(self._kind.name) is not None

    def start(self) -> None:
        """Start the store unless it runs, and return when it answers. An interrupted first start begins again."""
        if not self.is_running():
            if not self._laid_out.exists():
                shutil.rmtree(self._home.data_dir, ignore_errors=True)
            self._home.data_dir.mkdir(parents=True, exist_ok=True)
            self._kind.prepare(self._home)
            self._table.spawn(self._kind.name, self._kind.command(self._home), os.environ, self._home.config_dir)
        self._table.wait_ready({self._kind.name: partial(self._kind.is_ready, self._home)}, START_TIMEOUT_S)
        self._laid_out.touch()

    def stop(self) -> None:
        self._table.stop(self._kind.name, self._kind.stop_signal)

    def kill(self) -> None:
        """SIGKILL, as a crash of the process."""
        self._table.kill(self._kind.name)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._table.signal_tree(self._kind.name, signal.SIGSTOP)

    def resume(self) -> None:
        self._table.signal_tree(self._kind.name, signal.SIGCONT)


class StoreSet:
    """Starts some stores in parallel. Their data, logs, configuration and ports are in `directory`.

    `start` may be called again, and from several processes at once (pytest-xdist workers). It leaves running stores
    alone. The stores run until the `with` block ends or `stop` is called. `durable=False` is faster and meant for
    tests.
    """

    def __init__(
        self,
        directory: Path,
        names: Sequence[StoreName] = ALL,
        *,
        durable: bool = False,
        state: State | None = None,
        table: ProcessTable | None = None,
        say: Callable[[str], None] = console.say,
    ) -> None:
        self._directory, self._names, self._durable, self._say = directory.absolute(), tuple(names), durable, say
        self._state = state or State(self._directory)
        self._table = table or ProcessTable(self._directory)
        self._lock_wait = threading.Event() if table is None else table.cancelled

    def start(self) -> Endpoints:
        """Return when every store answers; on a failure stop what this call started, and raise."""
        with self._state.lock("stores", self._lock_wait):
            self._renew_ports()
            try:
                in_parallel([partial(self._start_one, name) for name in self._names], len(ALL))
            except BaseException:
                self.undo()
                raise
            return self.endpoints()

    def stop(self) -> None:
        """Stop all, in parallel; data and ports stay."""
        self._stop_many(self._names)

    def undo(self) -> None:
        """Stop only what was started through this object."""
        self._stop_many([name for name in self._names if name in self._table.started])

    def endpoints(self) -> Endpoints:
        return Endpoints(**{name: self.store(name).endpoint for name in self._names})

    def store(self, name: StoreName) -> StoreProcess:
        kind, data = KINDS[name], self._directory / "data"
        ports = {port_name: self._state.port(port_name) for port_name in kind.port_names}
        home = Home(data / name, self._directory / "conf" / name, ports, self._durable)
        return StoreProcess(kind, home, self._table)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _start_one(self, name: StoreName) -> None:
        store = self.store(name)
        verb = "already runs" if store.is_running() else "ready"
        store.start()
        self._say(f"{name} {verb} on 127.0.0.1:{store.port}")

    def _stop_many(self, names: Sequence[StoreName]) -> None:
        in_parallel([self.store(name).stop for name in names], len(ALL))

    def _renew_ports(self) -> None:
        for name in self._names:
            if self._table.find(name) is None:
                for port_name in KINDS[name].port_names:
                    if port_name != PROXY_PORT:  # the proxy may be there already
                        self._state.free_port(port_name)
