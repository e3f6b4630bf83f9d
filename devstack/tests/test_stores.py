import os
from pathlib import Path

import pytest

from conftest import STORES_DIR, store_provider
from devstack import ports
from devstack.procfs import read_stat
from devstack.stores import ALL, StoreSet

pytestmark = [pytest.mark.stores, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def installed() -> None:
    """`bootstrap` installs what these start only where the stores are plain processes."""
    if store_provider(Path(os.environ[STORES_DIR])).name != "processes":
        pytest.skip("the stores of this run are no plain processes")


def processes_of(directory: Path) -> list[str]:
    """Whatever still names this directory on its command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (stat := read_stat(int(entry.name))) and stat.state != "Z":
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
            if str(directory) in command:
                found.append(command)
    return found


def test_all_four_start_answer_and_leave_nothing(tmp_path: Path) -> None:
    with StoreSet(tmp_path, say=lambda _: None) as stores:
        first = stores.endpoints()
        assert not first.missing()
        assert StoreSet(tmp_path, say=lambda _: None).start() == first, "a second start finds the same"
        running = [stores.store(name).port for name in ALL]
        assert all(ports.answers("127.0.0.1", port) for port in running)
    assert processes_of(tmp_path) == []
    assert not any(ports.answers("127.0.0.1", port) for port in running)


def test_a_store_is_frozen_killed_and_started_on_the_same_port(tmp_path: Path) -> None:
    with StoreSet(tmp_path, ["redis"], say=lambda _: None) as stores:
        redis = stores.store("redis")
        ping = (redis.port, b"PING\r\n", 5)
        redis.pause()
        assert ports.exchange(*ping) == b""
        redis.resume()
        assert ports.exchange(*ping) == b"+PONG"
        redis.kill()
        assert not redis.is_running()
        redis.start()
        assert ports.exchange(*ping) == b"+PONG"


def test_postgres_comes_back_after_kill_9(tmp_path: Path) -> None:
    with StoreSet(tmp_path, ["postgres"], say=lambda _: None) as stores:
        postgres = stores.store("postgres")
        endpoint = postgres.endpoint
        postgres.kill()
        postgres.start()
        assert postgres.endpoint == endpoint
