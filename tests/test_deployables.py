"""The table of deployables against all that repeats it: docker-compose.yml, pyproject.toml, topics and public routes.

Opens no socket. What fails here names the line that is missing.
"""

import re
import subprocess
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from devstack.settings import ROOT
from gateway.render import TEMPLATE
from gateway.routes import find
from libs.contracts.topics import TOPICS
from libs.deployables import DEPLOYABLES, SERVICES, Deployable, producers
from libs.deployables.application import Application
from tests.containers import read_yaml

COMPOSE: dict[str, Any] = read_yaml(ROOT / "docker-compose.yml")
CONTAINERS: dict[str, Any] = COMPOSE["services"]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NAMES = {one.name for one in DEPLOYABLES}
SERVICE_NAMES = {one.name for one in SERVICES}
WITH_STORE = {one.name for one in DEPLOYABLES if one.store}
ALL_PACKAGES = ["services.*", "workers.*"]
ONE_PACKAGE = ["ops", "gateway"]
EXTRAS = {"base", *PYPROJECT["project"]["optional-dependencies"]}


def named(one: Deployable) -> str:
    return one.name


each_deployable = pytest.mark.parametrize("row", DEPLOYABLES, ids=named)
each_service = pytest.mark.parametrize("row", SERVICES, ids=named)


def application(row: Deployable) -> Application[Any]:
    """The one in its `__main__`, or in the module itself where the row names no package."""
    module = import_module(row.module)
    found = (import_module(f"{row.module}.__main__") if hasattr(module, "__path__") else module).APPLICATION
    assert isinstance(found, Application)
    return found


def public_paths(row: Deployable) -> list[str]:
    """Templates of the routes that it publishes."""
    found = [route for router in application(row).routers for route in router.routes]
    return [one.path for one in found if isinstance(one, APIRoute) and not one.path.startswith("/internal/")]


def package(row: Deployable) -> str:
    """What import rules hold for: `ops` and `gateway` are one each, whatever runs in them."""
    first = row.module.partition(".")[0]
    return first if first in ONE_PACKAGE else row.module


@each_deployable
def test_it_runs_under_its_name(row: Deployable) -> None:
    assert application(row).declared == row


@each_deployable
def test_compose_builds_and_runs_it(row: Deployable) -> None:
    container = CONTAINERS[row.name]
    assert container["image"] == f"feedmill-{row.name}"
    built = container["build"]["args"]
    # An image may hold all of `ops` or `gateway`, so the module is said again when it runs.
    assert container["environment"].get("FEEDMILL_DEPLOYABLE", built["DEPLOYABLE"]) == row.module
    assert built == {"DEPLOYABLE": package(row), "EXTRA": row.extra}


def test_compose_runs_nothing_else() -> None:
    assert {name for name, one in CONTAINERS.items() if "build" in one and one["restart"] != "no"} == NAMES


def test_compose_migrates_every_store_before_its_owner_starts() -> None:
    jobs = {name: one for name, one in CONTAINERS.items() if name.endswith("-migrate")}
    assert set(jobs) == {f"{name}-migrate" for name in WITH_STORE}
    for name in WITH_STORE:
        job, owner = jobs[f"{name}-migrate"], CONTAINERS[name]
        assert job["command"] == ["migrate"]
        assert (job["image"], job["build"]) == (owner["image"], owner["build"])
        assert owner["depends_on"][f"{name}-migrate"] == {"condition": "service_completed_successfully"}


def test_compose_tells_all_where_the_services_are() -> None:
    urls = {f"FEEDMILL_{name.upper()}_URL": f"http://{name}:8000" for name in SERVICE_NAMES}
    for name in NAMES:
        told = CONTAINERS[name]["environment"].items()
        assert {variable: url for variable, url in told if str(url).endswith(":8000")} == urls, name


def test_the_gateway_of_compose_knows_the_services() -> None:
    healthy = {name: {"condition": "service_healthy"} for name in SERVICE_NAMES}
    assert CONTAINERS["gateway-config"]["depends_on"] == healthy
    others = {
        "gateway-config": {"condition": "service_completed_successfully"},
        "gateway-metrics": {"condition": "service_healthy"},
    }
    assert CONTAINERS["gateway"]["depends_on"] == healthy | others
    (looked_up,) = re.findall(r"addresses\(\) { getent hosts ([^;]+);", CONTAINERS["gateway"]["entrypoint"][-1])
    assert sorted(looked_up.split()) == sorted([*SERVICE_NAMES, "gateway-metrics"])


def test_the_gateway_of_compose_is_observed_and_its_status_is_not_published() -> None:
    settings = CONTAINERS["gateway-config"]["environment"]
    assert settings["FEEDMILL_GATEWAY_METRICS_ADDRESS"] == "gateway-metrics:8000"
    status_port = settings["FEEDMILL_GATEWAY_STATUS_PORT"]
    url = CONTAINERS["gateway-metrics"]["environment"]["FEEDMILL_GATEWAY_STATUS_URL"]
    assert url == f"http://gateway:{status_port}"
    (published,) = CONTAINERS["gateway"]["ports"]
    assert published.endswith(f":{settings['FEEDMILL_GATEWAY_PORT']}")
    assert status_port != settings["FEEDMILL_GATEWAY_PORT"]


@pytest.mark.parametrize("is_observed", [True, False])
def test_the_gateway_of_compose_starts_without_its_observer(is_observed: bool, tmp_path: Path) -> None:
    """nginx refuses a configuration with a name that it can't look up."""
    script = CONTAINERS["gateway"]["entrypoint"][-1].replace("$$", "$")
    for folder in ("cache/feedmill", "lib/feedmill-gateway"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "lib/feedmill-gateway/nginx.conf").write_text(TEMPLATE.read_text())
    configure = script[script.index("conf=") : script.index("reload_when_changed()")].replace("/var/", f"{tmp_path}/")
    getent = f"getent() {{ [ $# -gt 2 ] || {'true' if is_observed else 'false'}; }}\n"
    subprocess.run(["sh", "-euc", f"{getent}{configure}configure"], check=True)
    lines = (tmp_path / "cache/feedmill/nginx.conf").read_text().splitlines()
    assert len(TEMPLATE.read_text().splitlines()) - len(lines) == (0 if is_observed else 1)
    assert any("syslog:" in line for line in lines) == is_observed


def test_import_rules_hold_for_every_deployable() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    (independent,) = (one["modules"] for one in contracts if one["type"] == "independence")
    (layered,) = (one["containers"] for one in contracts if one["type"] == "layers" and "containers" in one)
    assert (independent, layered) == ([*ALL_PACKAGES, *ONE_PACKAGE], ALL_PACKAGES)
    found = {
        ".".join(main.parent.relative_to(ROOT).parts)
        for main in ROOT.glob("*/*/__main__.py")
        if main.parts[-3] in ("services", "workers")
    }
    assert {package(row) for row in DEPLOYABLES} == {*found, *ONE_PACKAGE}


@each_deployable
def test_what_it_installs_is_locked(row: Deployable) -> None:
    assert row.extra in EXTRAS
    assert (ROOT / "requirements" / f"{row.extra}.txt").is_file()


@each_deployable
def test_its_migrations_are_where_its_store_is_declared(row: Deployable) -> None:
    found = {file.suffix for file in ROOT.joinpath(*row.module.split("."), "migrations").glob("*.*ql")}
    assert found == {None: set(), "cassandra": {".cql"}, "postgres": {".sql"}}[row.store]


@each_deployable
def test_its_topics_exist(row: Deployable) -> None:
    named = {*row.produces, *(topic for topics in row.consumes.values() for topic in topics)}
    assert named <= {topic.name for topic in TOPICS}


@pytest.mark.parametrize("topic", [topic.name for topic in TOPICS])
def test_every_topic_has_a_producer(topic: str) -> None:
    assert producers(topic)


def test_no_two_consumers_share_a_group() -> None:
    groups = [group for row in DEPLOYABLES for group in row.consumes]
    assert len(groups) == len(set(groups))


def test_no_two_services_share_a_port() -> None:
    assert len({one.port for one in SERVICES}) == len(SERVICES)


@each_service
def test_the_gateway_sends_it_its_public_routes(row: Deployable) -> None:
    sent = {path: find(path) for path in public_paths(row)}
    assert sent
    assert {path: route and route.service for path, route in sent.items()} == dict.fromkeys(sent, row.name)


@each_service
def test_no_route_of_the_table_leads_nowhere(row: Deployable) -> None:
    used = {route.path for path in public_paths(row) if (route := find(path))}
    assert used == {route.path for route in row.routes}


@each_service
def test_it_limits_how_much_is_asked(row: Deployable) -> None:
    assert application(row).limits, "without limits=, not even the limits of all routes hold"
