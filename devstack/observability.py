"""Prometheus, Alertmanager and, where there is one, Jaeger beside the system: `make up OBS=1`.

The system does not need them. Once started, they belong to it until `make down`.
"""

import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from deploy.observability import prometheus
from devstack import ports
from devstack.errors import DevstackError
from devstack.processes import ProcessTable
from devstack.settings import Settings
from devstack.state import State
from libs.common.core.console import say
from libs.deployables import Deployable

PROMETHEUS, ALERTMANAGER, JAEGER = "prometheus", "alertmanager", "jaeger"
PREFERRED_PORTS = {PROMETHEUS: 9090, ALERTMANAGER: 9093, JAEGER: 16686}
READY_PATHS = {PROMETHEUS: "/-/ready", ALERTMANAGER: "/-/ready", JAEGER: "/api/services"}
OTLP = "jaeger-otlp"
# Every port that Jaeger opens, by its option. Only the first two have a client here.
JAEGER_PORTS = {
    "query.http-server": JAEGER,
    "collector.otlp.http": OTLP,
    "collector.otlp.grpc": "jaeger-otlp-grpc",
    "collector.grpc-server": "jaeger-grpc",
    "collector.http-server": "jaeger-http",
    "query.grpc-server": "jaeger-query-grpc",
    "admin.http": "jaeger-admin",
}
MAX_TRACES = 20_000  # in Jaeger's memory, about 200 MB
RETENTION = "2d"
TRACE_RATIO = "0.1"  # higher than the default: on one machine, 1 % of a few requests would be none
READY_TIMEOUT_S = 60.0
RENDER_TIMEOUT_S = 60.0


class Observability:
    """Starts what shows the system to a person. `ProcessTable` stops it, as every process."""

    def __init__(
        self, settings: Settings, state: State, table: ProcessTable, deployables: Sequence[Deployable]
    ) -> None:
        self._settings, self._state, self._table = settings, state, table
        self._deployables = tuple(deployables)
        self._config_dir = state.directory / "conf" / "observability"

    def names(self) -> list[str]:
        """Return the processes that were started, and not stopped since."""
        recorded = self._table.names()
        return [name for name in PREFERRED_PORTS if name in recorded]

    def port(self, name: str) -> int:
        return self._state.port(name, PREFERRED_PORTS.get(name))

    def environ(self) -> dict[str, str]:
        """Return the variables of deployables: where they send their traces, and how many."""
        if self._table.find(JAEGER) is None:
            return {}
        endpoint = f"http://127.0.0.1:{self.port(OTLP)}"
        return {"FEEDMILL_OTLP_ENDPOINT": endpoint, "FEEDMILL_TRACE_RATIO": TRACE_RATIO}

    def start(self) -> list[str]:
        """Start what does not run, and return the names of those processes.

        Raises:
            DevstackError: Prometheus or Alertmanager is not installed, or does not become ready.
        """
        programs = self._programs()
        missing = [name for name in programs if self._table.find(name) is None]
        for name in missing:
            for port_name in JAEGER_PORTS.values() if name == JAEGER else [name]:
                self._state.free_port(port_name, PREFERRED_PORTS.get(port_name))
        self.render()
        self.write_targets()
        for name in missing:
            data_dir = self._state.directory / "data" / name
            data_dir.mkdir(parents=True, exist_ok=True)
            argv = [programs[name], *self._options(name, data_dir)]
            self._table.spawn(name, argv, os.environ, data_dir)
        checks = {name: partial(ports.serves, self.port(name), READY_PATHS[name]) for name in missing}
        self._table.wait_ready(checks, READY_TIMEOUT_S, lambda name: say(f"{name} ready on {self._url(name)}"))
        return missing

    def render(self, factor: float = 1, changes: Mapping[str, str] = {}) -> None:
        """Write the configuration, which running processes read again after `follow`.

        Args:
            factor: divides all times, for drills.
            changes: variables besides those of the settings.
        """
        argv = [sys.executable, "-m", "deploy.observability", "render", "--out", str(self._config_dir)]
        argv += ["--factor", str(factor)]
        env, root = {**self._settings.values, **changes}, self._settings.root
        self._table.run("observability-render", argv, env, root, RENDER_TIMEOUT_S, echo=True)

    def write_targets(self, without: str = "") -> None:
        """Write what Prometheus scrapes and where Alertmanager is. Prometheus sees the new files by itself."""
        names = [one.name for one in self._deployables if one.name != without]
        scraped = {name: f"127.0.0.1:{self._state.port(name)}" for name in names}
        alertmanager = f"127.0.0.1:{self.port(ALERTMANAGER)}"
        prometheus.write(self._config_dir, prometheus.targets(scraped) | prometheus.alertmanagers(alertmanager))

    def follow(self) -> None:
        """Let what runs read its configuration again, with the ports that the deployables have now."""
        self.write_targets()
        for name in (PROMETHEUS, ALERTMANAGER):
            if identity := self._table.find(name):
                identity.send(signal.SIGHUP)

    def summary(self) -> str:
        """Return the addresses, and what can't be shown here and why."""
        if not self.names():
            return ""
        lines = [f"{name}: {self._url(name)}" for name in self.names()]
        if given := self._settings.get("OTLP_ENDPOINT"):
            lines.append(f"traces go to {given}")
        elif JAEGER not in self.names():
            lines.append(
                "no traces: there is no jaeger-all-in-one. devstack/fetch-jaeger builds one with Go in a few minutes; "
                "then make up OBS=1, make restart"
            )
        lines.append("no dashboards and no log search: they need Grafana and Loki (docs/containers.md, Observability)")
        return "\n" + "\n".join(lines)

    def _programs(self) -> dict[str, str]:
        found = {PROMETHEUS: shutil.which("prometheus"), ALERTMANAGER: shutil.which("prometheus-alertmanager")}
        if not self._settings.get("OTLP_ENDPOINT"):
            found[JAEGER] = jaeger()
        if missing := [name for name, program in found.items() if program is None and name != JAEGER]:
            raise DevstackError(f"{' and '.join(missing)} not found: make up OBS=1 installs Debian's packages")
        return {name: program for name, program in found.items() if program}

    def _options(self, name: str, data_dir: Path) -> list[str]:
        address, config_dir = f"127.0.0.1:{self.port(name)}", self._config_dir / name
        if name == PROMETHEUS:
            return [
                f"--config.file={config_dir / 'prometheus.yml'}",
                f"--storage.tsdb.path={data_dir}",
                f"--storage.tsdb.retention.time={RETENTION}",
                f"--web.listen-address={address}",
                "--web.enable-lifecycle",
                "--enable-feature=exemplar-storage",
            ]
        if name == ALERTMANAGER:
            return [
                f"--config.file={config_dir / 'alertmanager.yml'}",
                f"--storage.path={data_dir}",
                f"--web.listen-address={address}",
                "--cluster.listen-address=",  # there is only one
            ]
        opened = [f"--{option}.host-port=127.0.0.1:{self._state.port(port)}" for option, port in JAEGER_PORTS.items()]
        return [*opened, f"--memory.max-traces={MAX_TRACES}"]

    def _url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port(name)}"


def jaeger() -> str | None:
    """Return the `jaeger-all-in-one` on PATH, else the newest of `devstack/fetch-jaeger`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = sorted(map(str, cache.glob("feedmill/jaeger-all-in-one-*")))
    return shutil.which("jaeger-all-in-one") or (built[-1] if built else None)
