"""Following the logs of all processes, as one stream with the name in front of each line."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from devstack.processes import ProcessTable

POLL_S = 0.3
LINES_BEFORE = 10


class _Log:
    """One growing file; a new file under the same name is read from its beginning."""

    def __init__(self, path: Path) -> None:
        self._path, self._inode, self._offset = path, 0, 0
        if path.exists():
            stat = path.stat()
            self._inode, self._offset = stat.st_ino, stat.st_size

    def new_lines(self) -> list[str]:
        """Whole lines written since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            inode = self._path.stat().st_ino
            if inode != self._inode:
                self._inode, self._offset = inode, 0
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        return whole.decode(errors="replace").split("\n") if newline else []


def follow(table: ProcessTable, names: Sequence[str], cancelled: threading.Event) -> Iterator[str]:
    """The last lines of each log, then every new line, until `cancelled`."""
    width = max(map(len, names), default=0)
    logs = {name: _Log(table.log_path(name)) for name in names}
    for name in names:
        yield from (f"{name:{width}} | {line}" for line in table.tail(name, LINES_BEFORE))
    while not cancelled.wait(POLL_S):
        for name, log in logs.items():
            yield from (f"{name:{width}} | {line}" for line in log.new_lines())
