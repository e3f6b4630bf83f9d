import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from bench import cpu
from devstack.processes import ProcessTable
from devstack.procfs import Identity

BUSY_TICKS = 5
BUSY = f"""
import sys, time
while time.process_time() < {BUSY_TICKS + 1} / {cpu.TICKS_A_SECOND}:
    pass
print(flush=True)
sys.stdin.read()
"""


def test_the_time_of_a_process_that_ends_between_two_readings_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEEDMILL_STATE_DIR", str(tmp_path))
    own = Identity.of(os.getpid())
    assert own
    first = cpu.read()
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        running = cpu.read()
    ended = cpu.read()
    assert running[own] >= first[own] + BUSY_TICKS
    assert ended[own] >= running[own]


def test_only_the_named_processes_of_the_system_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEEDMILL_STATE_DIR", str(tmp_path))
    table = ProcessTable(tmp_path)
    try:
        for name in ("feed", "store"):
            table.spawn(name, ["sleep", "60"], os.environ, tmp_path)
        assert cpu.read(("feed", "post")).keys() == {table.find("feed")}
        assert cpu.read().keys() > {table.find("feed"), table.find("store")}
    finally:
        for name in table.names():
            table.stop(name)


def test_a_process_that_was_replaced_counts_from_its_start_and_one_that_is_gone_counts_nothing() -> None:
    old, new, other = Identity(1, "then"), Identity(1, "now"), Identity(2, "then")
    before, after = {old: 1_000, other: 50}, {new: 30, other: 60}
    assert cpu.used_s(before, after) == pytest.approx(40 / cpu.TICKS_A_SECOND)
    assert cpu.used_s(before, {}) == 0


@pytest.mark.parametrize(
    ("shares", "calm", "windows"),
    [((9, 5, 3, 4, 3, 3, 1), 3, 6), ((2, 2, 2, 2, 1), 2, 4), (range(1_000, 0, -1), 971, cpu.WINDOWS_MAX)],
)
async def test_the_share_is_calm_once_it_falls_no_longer(
    shares: tuple[float, ...], calm: float, windows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    sampled = iter(shares)

    async def share(seconds: float, _: Collection[str]) -> float:
        asked.append(seconds)
        return next(sampled)

    monkeypatch.setattr(cpu, "share", share)
    assert await cpu.calm_share(0.5) == calm
    assert asked == [0.5] * windows
