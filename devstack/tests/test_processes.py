import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.errors import Cancelled, ProcessFailed
from devstack.processes import ProcessTable
from devstack.procfs import Identity, Stat

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


@pytest.fixture
def table(tmp_path: Path) -> Iterator[ProcessTable]:
    table = ProcessTable(tmp_path)
    yield table
    for name in table.names():
        table.kill(name)


def spawn(table: ProcessTable, argv: list[str], name: str = "it") -> Identity:
    table.spawn(name, argv, os.environ, Path("/"))
    identity = table.find(name)
    assert identity
    return identity


def test_stat_of_a_command_with_brackets_and_spaces() -> None:
    line = "42 (a) b (c)) S 7 " + " ".join(str(number) for number in range(5, 53))
    stat = Stat.parse(line)
    assert (stat.state, stat.parent, stat.started_ticks) == ("S", 7, 22)


def test_another_process_with_the_same_pid_is_not_it(table: ProcessTable) -> None:
    identity = spawn(table, SLEEPER)
    impostor = Identity(identity.pid, "00000000-1")
    impostor.send(signal.SIGKILL)
    assert identity.is_alive()
    assert not impostor.is_alive()


def test_another_table_finds_and_stops_it(table: ProcessTable, tmp_path: Path) -> None:
    identity = spawn(table, SLEEPER)
    other = ProcessTable(tmp_path)
    assert other.find("it") == identity
    other.stop("it")
    assert not identity.is_alive()
    assert other.names() == []


def test_what_ignores_sigterm_is_killed(table: ProcessTable) -> None:
    identity = spawn(table, STUBBORN)
    table.wait_ready({"it": lambda: table.tail("it") == ["up"]}, 10)
    table.stop("it", deadline_s=0.1)
    assert not identity.is_alive()


def test_a_descendant_in_another_session_is_killed_too(table: ProcessTable) -> None:
    identity = spawn(table, ["sh", "-c", "setsid sleep 60 & wait"])
    table.wait_ready({"it": lambda: len(identity.tree()) == 2}, 10)
    tree = identity.tree()
    table.kill("it")
    assert not any(member.is_alive() for member in tree)


def test_a_death_while_starting_is_told_with_its_last_lines(table: ProcessTable) -> None:
    table.spawn("it", ["sh", "-c", "seq 100; echo boom"], os.environ, Path("/"))
    with pytest.raises(ProcessFailed, match=r"it died(.|\n)*    100\n    boom$"):
        table.wait_ready({"it": lambda: False}, 10)


def test_a_failing_command_is_told(table: ProcessTable) -> None:
    with pytest.raises(ProcessFailed, match="exit status 3"):
        table.run("task", ["sh", "-c", "exit 3"], os.environ, Path("/"), 10)
    assert table.names() == []


def test_cancelling_ends_a_wait_and_refuses_new_processes(table: ProcessTable) -> None:
    spawn(table, SLEEPER)
    threading.Timer(0.1, table.cancelled.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        table.wait_ready({"it": lambda: False}, 30)
    assert time.monotonic() - began < 5
    with pytest.raises(Cancelled):
        table.spawn("other", SLEEPER, os.environ, Path("/"))


def test_the_log_of_the_last_run_is_kept(table: ProcessTable) -> None:
    for word in ("first", "second"):
        table.run("task", ["echo", word], os.environ, Path("/"), 10)
    assert table.tail("task") == ["second"]
    assert table.log_path("task").with_suffix(".log.1").read_text() == "first\n"


def test_a_process_takes_over_the_name_of_one_that_is_gone(table: ProcessTable) -> None:
    spawn(table, SLEEPER)
    new = spawn(table, SLEEPER, "it.next")
    table.stop("it")
    table.rename("it.next", "it")
    assert (table.names(), table.find("it")) == (["it"], new)
    assert table.log_path("it").exists()
    assert table.log_path("it").with_suffix(".log.1").exists()
    table.stop("it")
    assert not new.is_alive()


def test_a_process_whose_record_was_never_written_is_found_and_killed(table: ProcessTable, tmp_path: Path) -> None:
    recorded, stray = spawn(table, SLEEPER), spawn(table, STUBBORN, "stray")
    table.wait_ready({"stray": lambda: table.tail("stray") == ["up"]}, 10)  # /proc shows no environment at first
    (tmp_path / "run" / "stray.json").unlink()
    ProcessTable(tmp_path / "another").kill_unrecorded()
    assert stray.is_alive()
    ProcessTable(tmp_path).kill_unrecorded()
    assert not stray.is_alive()
    assert recorded.is_alive()


def test_a_server_whose_parent_was_killed_alone_is_found_by_its_folder(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], executable="/bin/sleep", cwd=tmp_path, env={}) as untitled:
        ProcessTable(tmp_path).kill_unrecorded()
        assert untitled.poll() is None, "such as a shell that somebody opened there"
        untitled.kill()
    with subprocess.Popen(["nginx: worker process", "60"], executable="/bin/sleep", cwd=tmp_path, env={}) as worker:
        ProcessTable(tmp_path / "another").kill_unrecorded()
        assert worker.poll() is None
        ProcessTable(tmp_path).kill_unrecorded()
        assert worker.wait() == -signal.SIGKILL
