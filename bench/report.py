"""The table of a run as a JSON file, with a description of the machine, and two such files side by side."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.figures import Figure, Row, side_by_side
from libs.common.core.console import columns

GIB = 1 << 30


class ReportError(RuntimeError):
    """The file is not one that `make bench` wrote."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and on what code it was measured. It names no host and no path.

    `load` is the number of processes that ran or wanted to run in the minute before the start.
    """

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    commit: str
    load: float

    @classmethod
    def this(cls) -> "Machine":
        """Describe this machine as it is now."""
        return cls(
            cpu=_cpu_model(),
            cores=len(os.sched_getaffinity(0)),
            memory_gib=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB, 1),
            kernel=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            commit=_commit(),
            load=round(os.getloadavg()[0], 2),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """The rows of a run that began at `started_at`. `measured` names the benchmarks and the file of a graph."""

    started_at: str
    measured: tuple[str, ...]
    machine: Machine
    rows: tuple[Row, ...] = ()

    @classmethod
    def begin(cls, measured: Sequence[str]) -> "Report":
        """Return the report of a run that begins now, without rows."""
        return cls(datetime.now(UTC).isoformat(timespec="seconds"), tuple(measured), Machine.this())

    @property
    def file_name(self) -> str:
        """Return a name that sorts by time."""
        return f"{self.started_at.partition('+')[0].replace(':', '')}-{self.machine.commit}.json"

    def write(self, path: Path) -> None:
        """Write a new file, and its folder where it is missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Report":
        """Return the report in the file.

        Raises:
            ReportError: there is none.
        """
        try:
            document = json.loads(path.read_text())
            rows = tuple(_row(**row) for row in document.pop("rows"))
            machine, measured = Machine(**document.pop("machine")), tuple(document.pop("measured"))
            return cls(**document, machine=machine, measured=measured, rows=rows)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ReportError(f"{path} holds no figures of make bench: {error!r}") from error


def compared(old: Report, new: Report) -> str:
    """Return both runs side by side: first machines and commits, then the figures."""
    facts = [(name, was, now) for (name, was), (_, now) in zip(_facts(old), _facts(new), strict=True)]
    return f"{columns([('', 'old', 'new'), *facts])}\n\n{side_by_side(old.rows, new.rows)}"


def _facts(report: Report) -> list[tuple[str, str]]:
    machine = ((name, str(value)) for name, value in asdict(report.machine).items())
    return [("started_at", report.started_at), ("measured", " ".join(report.measured)), *machine]


def _row(what: str, figure: dict[str, Any] | None, reference: dict[str, Any] | None, note: str) -> Row:
    one, other = (None if values is None else Figure(**values) for values in (figure, reference))
    return Row(what, one, other, note)


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Processor")))
    return next(models, platform.machine())


def _commit() -> str:
    """Return the abbreviated commit, with a mark if files differ from it, and `unknown` outside of a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
