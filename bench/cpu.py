"""CPU time of everything that takes part: the processes of the running system, and what the benchmark started."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

from devstack.processes import ProcessTable
from devstack.procfs import PROC, Identity

IDLE_S = 3.0
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def used_s() -> float:
    """Seconds so far, without those of the benchmark's own process."""
    return sum(_ticks(pid) for pid in _everyone()) / TICKS_A_SECOND


async def idle_share() -> float:
    """Seconds of CPU a second that everything uses while nobody asks."""
    used, started = used_s(), time.perf_counter()
    await asyncio.sleep(IDLE_S)
    return (used_s() - used) / (time.perf_counter() - started)


def _everyone() -> Iterator[int]:
    table = ProcessTable(Path(os.environ["FEEDMILL_STATE_DIR"]))
    for name in table.names():
        if identity := table.find(name):
            yield from (one.pid for one in identity.tree())
    if own := Identity.of(os.getpid()):
        yield from (one.pid for one in own.tree() if one.pid != own.pid)


def _ticks(pid: int) -> int:
    """User and system time; 0 for a process that is gone."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[11]) + int(fields[12])
