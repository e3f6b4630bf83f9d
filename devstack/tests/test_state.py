import socket
import stat
from pathlib import Path

import pytest

from devstack import ports
from devstack.errors import DevstackError
from devstack.state import State


@pytest.fixture
def all_free(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """No sockets: every port is free but those in the returned set."""
    taken: set[int] = set()
    monkeypatch.setattr(ports, "is_free", lambda port: port not in taken)
    return taken


def test_a_port_is_kept_between_starts(tmp_path: Path, all_free: set[int]) -> None:
    assert State(tmp_path).port("kafka") == State(tmp_path).port("kafka")


def test_ports_of_one_state_differ(tmp_path: Path, all_free: set[int]) -> None:
    state = State(tmp_path)
    assert len({state.port(f"port-{number}") for number in range(50)}) == 50


def test_the_preferred_port_is_taken_when_free(tmp_path: Path, all_free: set[int]) -> None:
    all_free.add(8081)
    state = State(tmp_path)
    assert state.port("gateway", 8080) == 8080
    assert state.port("other", 8081) != 8081


def test_a_kept_port_that_was_taken_is_replaced(tmp_path: Path, all_free: set[int]) -> None:
    first = State(tmp_path).port("redis")
    all_free.add(first)
    second = State(tmp_path).free_port("redis")
    assert second != first
    assert State(tmp_path).port("redis") == second


def test_a_pinned_port_is_never_replaced(tmp_path: Path, all_free: set[int]) -> None:
    state = State(tmp_path, {"redis": 6379})
    assert state.free_port("redis") == 6379
    all_free.add(6379)
    with pytest.raises(DevstackError, match="6379"):
        state.free_port("redis")


def test_ports_for_second_processes_are_kept_only_when_told(tmp_path: Path, all_free: set[int]) -> None:
    state = State(tmp_path)
    first = {name: state.port(name) for name in ("user", "feed")}
    others = state.choose_others(first)
    assert len({*first.values(), *others.values()}) == 4
    assert {name: State(tmp_path).port(name) for name in first} == first
    state.keep_ports(others)
    assert {name: State(tmp_path).port(name) for name in first} == others
    with pytest.raises(DevstackError):
        State(tmp_path, {"feed": 9000}).choose_others(["feed"])


def test_secrets_are_private_random_and_kept(tmp_path: Path) -> None:
    secret = State(tmp_path).secret("internal")
    assert secret == State(tmp_path).secret("internal") != State(tmp_path).secret("cursor")
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_a_second_holder_of_the_lock_is_refused(tmp_path: Path) -> None:
    with State(tmp_path).lock("up"), pytest.raises(DevstackError, match="another"), State(tmp_path).lock("up"):
        pass
    with State(tmp_path).lock("up"):
        pass


@pytest.mark.stores
def test_a_listening_port_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not ports.is_free(server.getsockname()[1])


def test_the_state_directory_is_made_private(tmp_path: Path, all_free: set[int]) -> None:
    open_to_all = tmp_path / "state"
    open_to_all.mkdir(mode=0o755)
    State(open_to_all).port("kafka")
    assert stat.S_IMODE(open_to_all.stat().st_mode) == 0o700
    with State(tmp_path / "new").lock("up"):
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
