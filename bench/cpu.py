"""CPU time of everything that takes part: the processes of the running system, and what the benchmark started."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.processes import ProcessTable
from devstack.procfs import PROC, Identity

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
CALM_WINDOWS = 3  # in a row without a lower share: what was done before the measurement has settled
WINDOWS_MAX = 30
Reading = Mapping[Identity, int]
"""Ticks so far of each process that the system or the benchmark started, with its descendants.

A child's ticks become its parent's when it ends, so the sum over a tree does not fall.
"""


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    ticks: int
    ended_children_ticks: int


def read(names: Collection[str] = ()) -> Reading:
    """Read all counters, or those of the named processes of the system.

    The benchmark's own process is left out, but not its children.
    """
    table, own = ProcessTable(Path(os.environ["FEEDMILL_STATE_DIR"])), Identity.of(os.getpid())
    assert own
    roots = {root.pid: root for name in names or table.names() if (root := table.find(name))}
    if not names:
        roots[own.pid] = own
    stats = {int(entry.name): stat for entry in PROC.iterdir() if entry.name.isdecimal() and (stat := _stat(entry))}
    reading = Counter[Identity]()
    for pid, stat in stats.items():
        ancestor = pid
        while ancestor not in roots and ancestor in stats:
            ancestor = stats[ancestor].parent
        if root := roots.get(ancestor):
            reading[root] += stat.ended_children_ticks + (0 if pid == own.pid else stat.ticks)
    return reading


def used_s(before: Reading, after: Reading) -> float:
    """Return the seconds between two readings.

    A process that was replaced counts from its start. One that is gone counts nothing.
    """
    return sum(max(0, now - before.get(root, 0)) for root, now in after.items()) / TICKS_A_SECOND


async def share(seconds: float, names: Collection[str] = ()) -> float:
    """Wait, and return the seconds of CPU a second that everything, or what is named, used meanwhile."""
    before, started = read(names), time.perf_counter()
    await asyncio.sleep(seconds)
    return used_s(before, read(names)) / (time.perf_counter() - started)


async def calm_share(window_s: float, names: Collection[str] = ()) -> float:
    """Wait until the share does not fall any longer, and return the lowest one.

    Work that goes on after the requests that caused it (fan-out, compaction, a compiler) would look like idle share.
    """
    shares = [await share(window_s, names)]
    while min(shares[-CALM_WINDOWS:]) < min(shares[:-CALM_WINDOWS], default=float("inf")) and len(shares) < WINDOWS_MAX:
        shares.append(await share(window_s, names))
    return min(shares)


def _stat(process: Path) -> _Stat | None:
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return _Stat(int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14]))
