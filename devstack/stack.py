"""The whole system on one machine: stores, migrations, deployables, gateway, sample world."""

import shutil
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import partial

from devstack import environment, ports
from devstack.errors import DevstackError
from devstack.java import only_jar
from devstack.names import GATEWAY
from devstack.observability import JAEGER, Observability
from devstack.parallel import in_parallel
from devstack.processes import ProcessTable
from devstack.providers import StoreProvider, provider
from devstack.settings import Settings
from devstack.state import State
from devstack.stores import ALL, Endpoints
from libs.common.core.console import say
from libs.deployables import DEPLOYABLES, SERVICES, Deployable

READY_TIMEOUT_S = 90.0
TASK_TIMEOUT_S = 180.0
SEED_TIMEOUT_S = 600.0
PARALLEL_TASKS = 3  # more only queue on two cores
RELOAD_TIMEOUT_S = 75.0  # nginx's old workers end their requests first; the longest may take 60 s
NEXT = ".next"  # what a process is called while the one it replaces still runs
LOGIN_HINT = "sample-login.txt"  # written by `ops seed`


class Stack:
    """Starts, finds and stops everything; one per checkout."""

    def __init__(
        self, settings: Settings, cancelled: threading.Event, deployables: Sequence[Deployable] = DEPLOYABLES
    ) -> None:
        self.settings = settings
        self.state = State(settings.state_dir, settings.pinned_ports())
        self.table = ProcessTable(settings.state_dir, cancelled)
        self.deployables = tuple(deployables)
        self.observability = Observability(settings, self.state, self.table, self.deployables)
        self._cancelled = cancelled

    def names(self) -> list[str]:
        """Everything of ours, in the order of starting."""
        return [*(deployable.name for deployable in self.deployables), GATEWAY]

    def provider(self) -> StoreProvider:
        return provider(self.settings, self.state, self.table)

    def environ(self, endpoints: Endpoints, state: State | None = None) -> dict[str, str]:
        """Return the variables of every process, with the ports of another state if one is given."""
        common = environment.common_environ(self.settings, state or self.state, endpoints)
        return self.observability.environ() | common

    def up(self, only: Sequence[str] = (), *, observed: bool = False) -> None:
        """Start what does not run. On any failure everything started here is stopped again.

        With `observed`, also start Prometheus and its companions. Without, restart only those that were started before.
        """
        with self.state.lock("up"):
            stores = self.provider()
            self.table.kill_unrecorded()
            try:
                wanted = [name for name in self.names() if name in only or not only]
                self._up(stores, wanted, whole=not only, observed=observed or bool(self.observability.names()))
            except BaseException:
                self._take_back(stores)
                raise

    def restart(self, endpoints: Endpoints | None = None, changes: Mapping[str, str] = {}) -> None:
        """Replace every process without failing a request: start new ones beside the old, hand over, stop the old.

        The new ones find the stores at `endpoints`, if they are given, and have the variables in `changes`.
        All are replaced together, because each knows the ports of the others. On a failure before the gateway is
        reloaded, the old processes stay and the new ones are stopped.
        """
        with self.state.lock("up"):
            if missing := [name for name in self.names() if self.table.find(name) is None]:
                raise DevstackError(f"{', '.join(missing)} must run for that: make up")
            names = [one.name for one in self.deployables]
            if any(self.table.find(f"{name}{NEXT}") for name in names):
                raise DevstackError("an earlier restart was broken off, and two of each run: make down, make up")
            others = self.state.choose_others(names)
            state = State(self.settings.state_dir, {**self.settings.pinned_ports(), **others})
            common = self.environ(endpoints or self.provider().endpoints(), state) | dict(changes)
            observed = bool(self.observability.names())
            try:
                self._prepare(common)
                if observed:
                    self.observability.render()
                self._start(self.deployables, common, state, NEXT)
                self._check_gateway(common)
            except BaseException:
                self._cancelled.clear()
                in_parallel([partial(self.table.stop, f"{name}{NEXT}") for name in names], len(names))
                raise
            self._reload_gateway()
            self.state.keep_ports(others)
            if observed:
                self.observability.follow()
            self._retire(names)

    def _retire(self, names: Sequence[str]) -> None:
        """Stop processes. One that others call ends after all of its callers."""
        services = [one.name for one in SERVICES if one.name in names]
        workers = [name for name in names if name not in services]
        in_parallel([partial(self.table.stop, name) for name in workers], len(workers))
        for name in reversed(services):
            self.table.stop(name)
        for name in names:
            self.table.rename(f"{name}{NEXT}", name)
        say("the old ones are gone")

    def start_stores(self) -> Endpoints:
        with self.state.lock("up"):
            stores = self.provider()
            try:
                return self._start_stores(stores)
            except BaseException:
                self._take_back(stores)
                raise

    def down(self, *, clean: bool = False) -> None:
        """Stop everything, last started first; with `clean` forget the data."""
        with self.state.lock("up"):
            ours = [name for name in self.table.names() if name not in ALL]
            self.table.stop(GATEWAY)
            in_parallel([partial(self.table.stop, name) for name in ours], len(self.names()))
            say("deployables stopped")
            self.provider().stop(discard=clean)
            say("stores stopped")
            self.table.kill_unrecorded()
            if clean:
                shutil.rmtree(self.state.directory)
                say("data deleted")

    def _up(self, stores: StoreProvider, wanted: Sequence[str], *, whole: bool, observed: bool) -> None:
        missing = [name for name in wanted if self.table.find(name) is None]
        endpoints = self._start_stores(stores)
        environment.choose_ports(self.state, missing)
        if observed and JAEGER in self.observability.start() and len(missing) < len(wanted):
            say("what runs already sends its traces to Jaeger after make restart")
        if not missing:
            say("everything already runs")
            return
        common = self.environ(endpoints)
        self._prepare(common)
        self._start([one for one in self.deployables if one.name in missing], common, self.state)
        if GATEWAY in missing:
            self._start_gateway(common)
        if whole:
            self._populate(common)

    def _start_stores(self, stores: StoreProvider) -> Endpoints:
        say(f"stores: {stores.name}")
        return stores.start()

    def _prepare(self, common: dict[str, str]) -> None:
        """Create topics and migrate schemas. All of it is safe to run again."""
        tasks = [partial(self._task, "topics", common, "libs.common.kafka")]
        tasks += [
            partial(self._task, f"{one.name}-migrate", common, one.module, "migrate")
            for one in self.deployables
            if one.store
        ]
        in_parallel(tasks, PARALLEL_TASKS)

    def _start(self, deployables: Sequence[Deployable], common: dict[str, str], state: State, suffix: str = "") -> None:
        for one in deployables:
            env = environment.deployable_environ(common, state, one)
            self.table.spawn(f"{one.name}{suffix}", [sys.executable, "-m", one.module], env, self.settings.root)
        checks = {f"{one.name}{suffix}": partial(is_healthy, state.port(one.name)) for one in deployables}
        self.table.wait_ready(
            checks, READY_TIMEOUT_S, lambda name: _say_ready(name, state.port(name.removesuffix(suffix)))
        )

    def _start_gateway(self, common: dict[str, str]) -> None:
        argv, port = self._render_gateway(common), self.state.port(GATEWAY)
        self.table.spawn(GATEWAY, argv, common, environment.gateway_dir(self.state))
        self.table.wait_ready(
            {GATEWAY: partial(ports.answers, "127.0.0.1", port)}, READY_TIMEOUT_S, lambda name: _say_ready(name, port)
        )

    def _render_gateway(self, common: dict[str, str]) -> list[str]:
        """Write configuration and documents. Return the command that serves them."""
        home = environment.gateway_dir(self.state)
        home.mkdir(parents=True, exist_ok=True)
        config = home / "nginx.conf"
        self._task("gateway-render", common, "gateway", "render", "--out", str(config))
        env = {"FEEDMILL_GATEWAY_SWAGGER_UI_JAR": str(only_jar("swagger-ui")), **common}
        self._task("gateway-openapi", env, "gateway", "openapi", "--out", str(home / "docs"))
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        return [nginx, "-e", "stderr", "-c", str(config), "-p", str(home), "-g", "daemon off;"]

    def _check_gateway(self, common: dict[str, str]) -> None:
        """Test the new configuration, because a reload does not report whether nginx accepts it."""
        argv = [*self._render_gateway(common), "-t"]
        self.table.run("gateway-check", argv, common, environment.gateway_dir(self.state), TASK_TIMEOUT_S)

    def _reload_gateway(self) -> None:
        """Return when no worker is left that knows the old addresses."""
        master = self.table.find(GATEWAY)
        assert master
        _, *old_workers = master.tree()
        master.send(signal.SIGHUP)
        gone = {GATEWAY: lambda: not any(worker.is_alive() for worker in old_workers)}
        self.table.wait_ready(gone, RELOAD_TIMEOUT_S)
        say("the gateway has turned to the new ones")

    def _populate(self, common: dict[str, str]) -> None:
        if self.state.get("seeded") is None:
            self._task("seed", common, "ops", "seed", timeout_s=SEED_TIMEOUT_S, echo=True)
            self.state.set("seeded", "yes")
        self._task("journey", common, "ops", "journey", echo=True)

    def _task(
        self,
        name: str,
        common: dict[str, str],
        *arguments: str,
        timeout_s: float = TASK_TIMEOUT_S,
        echo: bool = False,
    ) -> None:
        self.table.run(name, [sys.executable, "-m", *arguments], common, self.settings.root, timeout_s, echo=echo)
        say(f"{name} done")

    def _take_back(self, stores: StoreProvider) -> None:
        """Undo this start. Processes that ran before it stay. A second Ctrl-C does not interrupt it."""
        self._cancelled.clear()
        for name in reversed([name for name in self.table.started if name not in ALL]):
            self.table.stop(name)
        stores.undo()
        say("stopped what this start had started")


def _say_ready(name: str, port: int) -> None:
    say(f"{name} ready on 127.0.0.1:{port}")


def is_healthy(port: int) -> bool:
    """GET /health/ready answers 200."""
    return ports.serves(port, "/health/ready")


def summary(stack: Stack) -> str:
    """Return what a person needs next."""
    hint = stack.state.directory / LOGIN_HINT
    login = f"\n{hint.read_text().strip()}" if hint.exists() else ""
    return (
        f"\nFeedmill is up: {environment.public_url(stack.state)} (reference: /docs){login}"
        f"{stack.observability.summary()}\n"
        f"logs: {stack.state.directory / 'logs'} (make logs), processes: make status, stop: make down"
    )


def find(stack: Stack, name: str) -> Deployable:
    """The deployable of this name."""
    for one in stack.deployables:
        if one.name == name:
            return one
    raise DevstackError(f"no deployable is called {name}; there are: {', '.join(stack.names())}")
