from pathlib import Path

import pytest

from devstack import providers
from devstack.environment import common_environ
from devstack.errors import DevstackError
from devstack.settings import Settings
from devstack.state import State
from devstack.stores import Endpoints

GIVEN = Endpoints(kafka="k:1", cassandra="c:2", postgres="postgresql://p/db", redis="redis://r:3/0")


def decide(tmp_path: Path, environ: dict[str, str]) -> str:
    return providers.decide(Settings.load(tmp_path, environ), State(tmp_path))


@pytest.fixture(autouse=True)
def docker(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Replace the test for a Docker engine, and return its answer for the test to set."""
    answers = [False]
    monkeypatch.setattr(providers, "_docker_can", lambda _: answers[0])
    return answers


def test_endpoints_become_variables_and_come_back() -> None:
    assert Endpoints.from_environ(GIVEN.environ()) == GIVEN
    assert Endpoints(redis="redis://r:3/0").environ() == {"FEEDMILL_REDIS_URL": "redis://r:3/0"}


def test_given_addresses_come_first(tmp_path: Path) -> None:
    assert decide(tmp_path, {**GIVEN.environ(), "FEEDMILL_STORES": "processes"}) == "given"


def test_some_given_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DevstackError, match="FEEDMILL_KAFKA_BOOTSTRAP"):
        decide(tmp_path, {"FEEDMILL_REDIS_URL": "redis://r:3/0"})


def test_docker_where_it_can_else_processes(tmp_path: Path, docker: list[bool]) -> None:
    assert decide(tmp_path / "a", {}) == "processes"
    docker[0] = True
    assert decide(tmp_path / "b", {}) == "docker"


def test_the_choice_is_kept_with_the_data_until_told_otherwise(tmp_path: Path, docker: list[bool]) -> None:
    assert decide(tmp_path, {}) == "processes"
    docker[0] = True
    assert decide(tmp_path, {}) == "processes"
    assert decide(tmp_path, {"FEEDMILL_STORES": "docker"}) == "docker"


def test_an_unknown_provider_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DevstackError, match="FEEDMILL_STORES=podman"):
        decide(tmp_path, {"FEEDMILL_STORES": "podman"})


def test_the_users_word_wins_over_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devstack.ports.is_free", lambda _: True)
    environ = common_environ(Settings.load(tmp_path, {"FEEDMILL_PUSH_THRESHOLD": "3"}), State(tmp_path), GIVEN)
    assert environ["FEEDMILL_PUSH_THRESHOLD"] == "3"
    assert environ["FEEDMILL_LOG_LEVEL"] == "INFO"
    assert environ["FEEDMILL_KAFKA_BOOTSTRAP"] == "k:1"
    assert (tmp_path / "jwt").stat().st_mode & 0o777 == 0o700
