"""Prometheus and its companions beside the system. The programs of the first tests only sleep."""

import contextlib
import http.server
import json
import os
import shutil
import signal
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import ports
from devstack.errors import DevstackError
from devstack.observability import ALERTMANAGER, JAEGER, PROMETHEUS, Observability, jaeger
from devstack.processes import ProcessTable
from devstack.settings import ROOT, Settings
from devstack.stack import Stack, summary
from devstack.state import State
from devstack.status import status
from devstack.stores import Endpoints
from devstack.tests.test_stores import processes_of
from libs.common.testing.eventually import eventually
from libs.deployables import BY_NAME, DEPLOYABLES

STORES = Endpoints(kafka="k:1", cassandra="c:2", postgres="postgresql://p/db", redis="redis://r:3/0")
OTLP_ENDPOINT = "FEEDMILL_OTLP_ENDPOINT"
ALL_PROGRAMS = ("prometheus", "prometheus-alertmanager", "jaeger-all-in-one")
SCRAPED_S = 60.0


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder of programs. Each is ready at once, and no port is in use."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sleep").symlink_to(shutil.which("sleep") or "/bin/sleep")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(ports, "is_free", lambda _: True)
    monkeypatch.setattr(ports, "serves", lambda *_: True)
    return folder


def install(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("#!/bin/sh\nexec sleep 60\n")
        (folder / name).chmod(0o755)


@contextlib.contextmanager
def stack_in(directory: Path, **given: str) -> Iterator[Stack]:
    """A system on given stores, of which no deployable is started."""
    values = {**os.environ, **STORES.environ(), **given}
    stack = Stack(Settings(ROOT, directory, values), threading.Event())
    try:
        yield stack
    finally:
        stack.down()


def up(stack: Stack, *, observed: bool = False) -> dict[str, object]:
    """Return the processes that run then."""
    stack.up(only=["none"], observed=observed)
    return {name: stack.table.find(name) for name in stack.table.names()}


async def has_died(stack: Stack) -> bool:
    return "died" in status(stack)


def test_a_plain_start_starts_none_of_them(programs: Path, tmp_path: Path) -> None:
    install(programs, *ALL_PROGRAMS)
    with stack_in(tmp_path / "state") as stack:
        assert up(stack) == {}
        assert stack.observability.summary() == ""
        assert not (tmp_path / "state" / "conf").exists()


async def test_a_later_plain_start_leaves_them_alone_and_restarts_what_died(programs: Path, tmp_path: Path) -> None:
    install(programs, *ALL_PROGRAMS)
    with stack_in(tmp_path / "state") as stack:
        first = up(stack, observed=True)
        assert set(first) == {PROMETHEUS, ALERTMANAGER, JAEGER}
        assert up(stack) == first
        stack.table.signal_tree(ALERTMANAGER, signal.SIGKILL)
        await eventually(lambda: has_died(stack))
        second = up(stack)
        assert {name for name in first if first[name] != second[name]} == {ALERTMANAGER}
    assert stack.table.names() == []


def test_prometheus_finds_every_deployable_and_alertmanager(programs: Path, tmp_path: Path) -> None:
    install(programs, *ALL_PROGRAMS)
    with stack_in(tmp_path / "state") as stack:
        up(stack, observed=True)
        written = tmp_path / "state" / "conf" / "observability" / "prometheus"
        found = json.loads((written / "targets.json").read_text())
        assert {one["labels"]["job"]: one["targets"] for one in found} == {
            one.name: [f"127.0.0.1:{stack.state.port(one.name)}"] for one in DEPLOYABLES
        }
        (alertmanager,) = json.loads((written / "alertmanagers.json").read_text())
        assert alertmanager["targets"] == [f"127.0.0.1:{stack.state.port(ALERTMANAGER)}"]
        stack.state.keep_ports({"feed": 12345})
        stack.observability.follow()
        assert ["127.0.0.1:12345"] in [one["targets"] for one in json.loads((written / "targets.json").read_text())]


def test_deployables_send_their_traces_to_jaeger_while_it_runs(programs: Path, tmp_path: Path) -> None:
    install(programs, *ALL_PROGRAMS)
    with stack_in(tmp_path / "state") as stack:
        assert OTLP_ENDPOINT not in stack.environ(STORES)
        up(stack, observed=True)
        assert stack.environ(STORES)[OTLP_ENDPOINT] == f"http://127.0.0.1:{stack.state.port('jaeger-otlp')}"


def test_a_given_collector_is_used_instead_of_jaeger(programs: Path, tmp_path: Path) -> None:
    install(programs, *ALL_PROGRAMS)
    with stack_in(tmp_path / "state", **{OTLP_ENDPOINT: "http://collector:4318"}) as stack:
        assert JAEGER not in up(stack, observed=True)
        assert stack.environ(STORES)[OTLP_ENDPOINT] == "http://collector:4318"
        assert "http://collector:4318" in summary(stack)


def test_what_is_missing_is_named(programs: Path, tmp_path: Path) -> None:
    with stack_in(tmp_path / "state") as stack:
        with pytest.raises(DevstackError, match="prometheus and alertmanager"):
            up(stack, observed=True)
        install(programs, *ALL_PROGRAMS[:2])
        assert set(up(stack, observed=True)) == {PROMETHEUS, ALERTMANAGER}
        assert OTLP_ENDPOINT not in stack.environ(STORES)
        assert "no traces" in summary(stack)
        assert "no dashboards" in summary(stack)


def test_the_jaeger_that_was_built_here_is_found(programs: Path, tmp_path: Path) -> None:
    assert jaeger() is None
    folder = tmp_path / "cache" / "feedmill"
    folder.mkdir(parents=True)
    install(folder, "jaeger-all-in-one-v1.76.0")
    assert jaeger() == str(folder / "jaeger-all-in-one-v1.76.0")
    install(programs, "jaeger-all-in-one")
    assert jaeger() == str(programs / "jaeger-all-in-one")


class Exposition(http.server.BaseHTTPRequestHandler):
    """A process with one metric."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"feedmill_test_gauge 7\n")

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextlib.contextmanager
def scraped() -> Iterator[int]:
    """Serve the metric, and return the port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exposition) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.stores
@pytest.mark.timeout(300)
async def test_prometheus_follows_a_process_to_another_port(tmp_path: Path) -> None:
    if not (shutil.which("prometheus") and shutil.which("prometheus-alertmanager")):
        pytest.skip("Prometheus and Alertmanager are not installed: make up OBS=1 does it")
    values = {**os.environ, OTLP_ENDPOINT: "http://127.0.0.1:9"}
    state, table = State(tmp_path), ProcessTable(tmp_path)
    observability = Observability(Settings(ROOT, tmp_path, values), state, table, [BY_NAME["feed"]])

    def query(promql: str) -> list[str]:
        at = f"http://127.0.0.1:{observability.port(PROMETHEUS)}/api/v1/query"
        url = f"{at}?{urllib.parse.urlencode({'query': promql})}"
        with urllib.request.urlopen(url) as answer:  # noqa: S310 - the address above
            return [one["metric"]["instance"] for one in json.load(answer)["data"]["result"]]

    async def sees(port: int) -> bool:
        return query('feedmill_test_gauge{job="feed"} == 7 and on (instance) up == 1') == [f"127.0.0.1:{port}"]

    try:
        with scraped() as first, scraped() as second:
            state.keep_ports({"feed": first})
            assert observability.start() == [PROMETHEUS, ALERTMANAGER]
            await eventually(lambda: sees(first), SCRAPED_S)
            state.keep_ports({"feed": second})
            observability.follow()
            await eventually(lambda: sees(second), SCRAPED_S)
    finally:
        for name in table.names():
            table.stop(name)
    assert processes_of(tmp_path) == []
