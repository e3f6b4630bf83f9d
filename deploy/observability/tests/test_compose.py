"""The layer of compose, without an engine: what runs, what it reads, and who may reach it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.observability import alertmanager, grafana, prometheus
from deploy.observability.timing import Timing
from devstack.settings import ROOT
from libs.deployables import DEPLOYABLES
from tests.containers import read_yaml

LAYER_FILE = "deploy/observability/compose.yml"
SYSTEM: dict[str, Any] = read_yaml(ROOT / "docker-compose.yml")["services"]
LAYER: dict[str, Any] = read_yaml(ROOT / LAYER_FILE)
ADDED = {name: one for name, one in LAYER["services"].items() if name not in SYSTEM}
NAMES = {one.name for one in DEPLOYABLES}
RENDERED = "/var/lib/feedmill-observability"
PINNED = re.compile(r"[a-z/.-]+:v?\d+\.\d+\.\d+")
FOLDER = ROOT / "deploy" / "observability" / "containers"
COLLECTOR, JAEGER, LOKI = (read_yaml(FOLDER / f"{name}.yml") for name in ("collector", "jaeger", "loki"))

each_added = pytest.mark.parametrize("name", ADDED)


def mounts(name: str) -> dict[str, str]:
    """Return path in the container → volume or file."""
    return {
        target.removesuffix(":ro"): source for source, target in (one.split(":", 1) for one in ADDED[name]["volumes"])
    }


@each_added
def test_its_image_is_pinned_or_built_here(name: str) -> None:
    image = ADDED[name]["image"]
    assert "build" in ADDED[name] or PINNED.fullmatch(image), image


@each_added
def test_only_this_machine_reaches_it(name: str) -> None:
    assert all(
        re.fullmatch(r"127\.0\.0\.1:\$\{FEEDMILL_\w+_PORT:-\d+\}:\d+", port) for port in ADDED[name].get("ports", [])
    )


@each_added
def test_it_is_contained(name: str) -> None:
    one = ADDED[name]
    assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"])
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert one["mem_limit"]
    assert "privileged" not in one


@each_added
def test_what_it_mounts_exists_and_is_no_part_of_the_engine(name: str) -> None:
    for source in mounts(name).values():
        assert source in LAYER["volumes"] or (ROOT / source).is_file(), source
        assert "docker" not in source


@each_added
def test_it_starts_after_its_configuration_is_written(name: str) -> None:
    if name != "observability-config" and RENDERED in mounts(name):
        assert ADDED[name]["depends_on"]["observability-config"] == {"condition": "service_completed_successfully"}


def test_no_password_stands_in_the_file() -> None:
    passwords = {
        value
        for one in ADDED.values()
        for variable, value in one.get("environment", {}).items()
        if re.search("PASSWORD|SECRET|TOKEN", variable)
    }
    assert passwords == {"${FEEDMILL_GRAFANA_PASSWORD:?set it in .env, see .env.example}"}


def test_every_process_sends_its_traces_and_logs_to_the_collector() -> None:
    changed = {name: one for name, one in LAYER["services"].items() if name in SYSTEM}
    assert set(changed) == {*NAMES, "gateway", "gateway-config"}
    port = COLLECTOR["receivers"]["otlp"]["protocols"]["http"]["endpoint"].split(":")[1]
    for name in NAMES:
        assert changed[name]["environment"]["FEEDMILL_OTLP_ENDPOINT"] == f"http://collector:{port}"
    assert changed["gateway-config"]["environment"] == changed["feed"]["environment"], "a trace begins at the gateway"
    for one in (changed[name] for name in (*NAMES, "gateway")):
        assert one["logging"]["options"]["fluentd-async"] == "true", (
            "or no container starts while the collector is down"
        )
        host, port = one["logging"]["options"]["fluentd-address"].split(":", 1)
        assert f"{host}:{port}:24224" in ADDED["collector"]["ports"]


def test_whom_to_notify_is_passed_on() -> None:
    passed = (*alertmanager.WEBHOOKS.values(), "FEEDMILL_RUNBOOKS_URL")
    assert ADDED["observability-config"]["environment"] == dict.fromkeys(passed)


def test_every_process_is_scraped() -> None:
    (text,) = prometheus.targets({job: f"{job}:8000" for job in prometheus.JOBS}).values()
    assert {one["labels"]["job"] for one in json.loads(text)} >= NAMES
    assert SYSTEM.keys() >= NAMES


@pytest.mark.parametrize("name", ["prometheus", "alertmanager", "grafana"])
def test_it_reads_what_is_rendered(name: str, tmp_path: Path) -> None:
    _, *render = [word for word in ADDED["observability-config"]["entrypoint"] if word != RENDERED]
    subprocess.run([sys.executable, *render, tmp_path], cwd=ROOT, check=True)
    named = [str(value).split("=")[-1] for value in ADDED[name].get("command", [])]
    named += [str(value) for value in ADDED[name].get("environment", {}).values()]
    read = [Path(path).relative_to(RENDERED) for path in named if path.startswith(RENDERED)]
    assert read
    assert RENDERED in mounts(name)
    for path in read:
        assert (tmp_path / path).exists(), path


def test_grafana_finds_the_dashboards_where_they_are_mounted() -> None:
    files = grafana.files(Timing(), {})
    (provider,) = json.loads(files["grafana/provisioning/dashboards/feedmill.yml"])["providers"]
    folder = Path(provider["options"]["path"])
    assert f"{folder.relative_to(RENDERED)}/overview.json" in files


def test_grafana_asks_the_containers_that_exist() -> None:
    (sources,) = (text for path, text in grafana.files(Timing(), {}).items() if "datasources" in path)
    assert {urlsplit(one["url"]).hostname for one in json.loads(sources)["datasources"]} == {
        "prometheus",
        "jaeger",
        "loki",
    }


@pytest.mark.parametrize("configuration", [COLLECTOR, JAEGER], ids=["collector", "jaeger"])
def test_pipelines_use_all_that_is_declared_and_nothing_else(configuration: dict[str, Any]) -> None:
    for kind in ("receivers", "processors", "exporters"):
        used = {part for pipeline in configuration["service"]["pipelines"].values() for part in pipeline[kind]}
        assert used == set(configuration[kind])


def test_traces_with_errors_and_slow_ones_are_stored_whatever_the_share() -> None:
    policies = {one["name"]: one for one in COLLECTOR["processors"]["tail_sampling"]["policies"]}
    assert policies["errors"]["status_code"]["status_codes"] == ["ERROR"]
    assert policies["slow"]["latency"]["threshold_ms"] <= 500
    assert 0 < policies["share"]["probabilistic"]["sampling_percentage"] < 100


def test_ids_are_searchable_and_make_no_streams() -> None:
    limits = LOKI["limits_config"]
    assert limits["allow_structured_metadata"]
    attributes = limits["otlp_config"]["resource_attributes"]
    assert attributes["ignore_defaults"]
    assert attributes["attributes_config"] == [{"action": "index_label", "attributes": ["service.name"]}]
    statements = " ".join(COLLECTOR["processors"]["transform/logs"]["log_statements"])
    assert {"request_id", "trace_id"} <= set(re.findall(r'log\.attributes\["([\w.]+)"\]', statements))


def test_the_layer_is_valid_for_docker_compose() -> None:
    if not compose_answers():
        pytest.skip("there is no Docker Compose")
    secrets = ("INTERNAL_SECRET", "CURSOR_SECRET", "POSTGRES_PASSWORD", "GRAFANA_PASSWORD")
    environ = {**os.environ, **{f"FEEDMILL_{name}": "x" for name in secrets}}
    files = ["-f", "docker-compose.yml", "-f", LAYER_FILE]
    command = ["docker", "compose", *files, "config", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert set(services) == {*SYSTEM, *ADDED}
    for name in NAMES:
        assert services[name]["environment"]["FEEDMILL_REDIS_URL"], "the layer adds to the environment"


def compose_answers() -> bool:
    try:
        return subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
