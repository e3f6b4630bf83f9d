"""Without an engine: what Docker Compose is asked for. The tests marked `stores` use the containers themselves."""

import json
import sys
from pathlib import Path

import pytest

from devstack.processes import ProcessTable
from devstack.settings import ROOT, Settings
from devstack.state import State
from devstack.stores import ALL
from tests.containers import ContainerStores

# As Docker Compose, it prefers its environment to the file.
DOCKER = f"""#!{sys.executable}
import json, os, sys
arguments = sys.argv[1:]
variables = dict(os.environ)
if "--env-file" in arguments:
    at = arguments.index("--env-file")
    lines = open(arguments[at + 1]).read().splitlines()
    variables = {{**dict(line.split("=", 1) for line in lines), **variables}}
    del arguments[at : at + 2]
ports = [int(variables["FEEDMILL_%s_PORT" % name.upper()]) for name in {ALL!r}]
seen = [arguments, os.getcwd(), variables["COMPOSE_PROJECT_NAME"], variables["FEEDMILL_POSTGRES_PASSWORD"], ports]
with open(os.path.dirname(__file__) + "/calls", "a") as calls:
    calls.write(json.dumps(seen) + chr(10))
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a fake `docker` that does nothing, and return the file with its calls."""
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name in (
        "COMPOSE_PROJECT_NAME",
        "FEEDMILL_POSTGRES_PASSWORD",
        *(f"FEEDMILL_{name.upper()}_PORT" for name in ALL),
    ):
        monkeypatch.setenv(name, "9")  # of the running system
    return tmp_path / "calls"


def test_each_run_has_containers_of_its_own(calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devstack.ports.is_free", lambda _: True)
    monkeypatch.setattr("devstack.ports.answers", lambda *_: False)
    home = tmp_path / "run"
    stores = ContainerStores(Settings.load(ROOT), State(home), ProcessTable(home))
    endpoints = stores.start()
    stores.kill("kafka")
    stores.pause("redis")
    stores.resume("redis")
    stores.stop(discard=True)
    seen = [json.loads(line) for line in calls.read_text().splitlines()]
    assert [arguments for arguments, *_ in seen] == [
        ["compose", "down", "--volumes", *ALL],
        ["compose", "up", "--wait", *ALL],
        ["compose", "kill", "kafka"],
        ["compose", "pause", "redis"],
        ["compose", "unpause", "redis"],
        ["compose", "down", "--volumes", *ALL],
    ]
    ((directory, project, password, ports),) = {(*rest[:-1], tuple(rest[-1])) for _, *rest in seen}
    assert directory == str(ROOT)
    assert project != "9"
    assert f":{password}@" in str(endpoints.postgres)
    assert all(f"127.0.0.1:{port}" in address for port, address in zip(ports, vars(endpoints).values(), strict=True))
