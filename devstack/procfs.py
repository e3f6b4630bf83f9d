"""Which process is which: a pid alone may have been recycled, a pid with its start time cannot."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/<pid>/stat that are needed here."""

    state: str
    parent: int
    started_ticks: int
    rss_bytes: int

    @classmethod
    def parse(cls, line: str) -> "Stat":
        """The command name, second field, may hold spaces and brackets: count from its last bracket."""
        fields = line.rpartition(")")[2].split()
        return cls(fields[0], int(fields[1]), int(fields[19]), int(fields[21]) * PAGE_BYTES)


@dataclass(frozen=True)
class Identity:
    """A process that cannot be mistaken for a later one with the same pid."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        """Who has this pid now; None for nobody, or for a zombie."""
        stat = read_stat(pid)
        if stat is None or stat.state in "ZX":
            return None
        return cls(pid, f"{_boot_id()}-{stat.started_ticks}")

    def is_alive(self) -> bool:
        return Identity.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.is_alive():
                os.kill(self.pid, number)

    def tree(self) -> list["Identity"]:
        """This process and its descendants, parents first (PostgreSQL's have left the process group)."""
        children = _children_by_parent()
        found, pending = [], [self.pid]
        while pending:
            pid = pending.pop(0)
            found.append(Identity.of(pid))
            pending += children.get(pid, [])
        return [identity for identity in found if identity is not None]

    def rss_bytes(self) -> int:
        """Resident memory of the whole tree."""
        stats = (read_stat(identity.pid) for identity in self.tree())
        return sum(stat.rss_bytes for stat in stats if stat is not None)


def belonging_to(directory: Path, variable: str) -> list[Identity]:
    """The processes whose first environment names `directory` in `variable`.

    nginx and PostgreSQL write their titles over their environment; they are known by their working directory.
    """
    marker, found = f"{variable}={directory}".encode(), []
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                titled = (entry / "cmdline").read_bytes().startswith((b"nginx: ", b"postgres: "))
                inside = titled and (entry / "cwd").readlink().is_relative_to(directory)
                if inside or marker in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(Identity.of(int(entry.name)))
    return [identity for identity in found if identity is not None]


def read_stat(pid: int) -> Stat | None:
    """None when there is no such process."""
    try:
        return Stat.parse((PROC / str(pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def _boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text()[:8]


def _children_by_parent() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and (stat := read_stat(int(entry.name))):
            children.setdefault(stat.parent, []).append(int(entry.name))
    return children
