"""Processes that outlive the command that started them, each with a record and a log."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from devstack.errors import Cancelled, DevstackError, ProcessFailed
from devstack.procfs import Identity, belonging_to

POLL_S = 0.05
STOP_DEADLINE_S = 20.0
KILL_DEADLINE_S = 5.0
TAIL_LINES = 15
OWNER = "FEEDMILL_PROCESS_TABLE"  # in the environment of every process: the directory of its table


class _Child(subprocess.Popen[bytes]):
    """A process that may outlive us: Popen would warn of that when it is forgotten."""

    def __del__(self) -> None:
        pass


class ProcessTable:
    """The processes of one directory: records in `run/`, output in `logs/`.

    Nothing here raises from a signal handler: setting `cancelled` ends every wait with `Cancelled`, so that no process
    is ever started without being recorded.
    """

    def __init__(self, directory: Path, cancelled: threading.Event | None = None) -> None:
        self.directory = directory
        self.cancelled = cancelled or threading.Event()
        self.started: list[str] = []
        self._children: dict[str, _Child] = {}

    def log_path(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def names(self) -> list[str]:
        return sorted(path.stem for path in (self.directory / "run").glob("*.json"))

    def find(self, name: str) -> Identity | None:
        """The running process of this name."""
        record = self._record(name)
        if not record.exists():
            return None
        identity = Identity(**json.loads(record.read_text()))
        return identity if identity.is_alive() else None

    def spawn(self, name: str, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        """Start the program in a new session. The log of its last run stays beside the new one."""
        if self.cancelled.is_set():
            raise Cancelled
        self._record(name).parent.mkdir(parents=True, exist_ok=True)
        self._record(name).unlink(missing_ok=True)
        with self._fresh_log(name).open("wb") as log:
            child = _Child(
                argv,
                env={**env, OWNER: str(self.directory)},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children[name] = child
        self.started.append(name)
        if identity := Identity.of(child.pid):
            self._record(name).write_text(json.dumps(vars(identity)))

    def wait_ready(
        self,
        checks: Mapping[str, Callable[[], bool]],
        timeout_s: float,
        on_ready: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Return when every named process passes its check; raise as soon as one of them dies."""
        deadline = time.monotonic() + timeout_s
        pending = dict(checks)
        while pending:
            for name in [name for name, is_ready in pending.items() if self._check(name, is_ready)]:
                del pending[name]
                on_ready(name)
            if pending and time.monotonic() > deadline:
                raise self._failed(next(iter(pending)), f"was not ready after {timeout_s:.0f} s")
            if pending and self.cancelled.wait(POLL_S):
                raise Cancelled

    def _check(self, name: str, is_ready: Callable[[], bool]) -> bool:
        if self.find(name) is None:
            raise self._failed(name, "died")
        return is_ready()

    def run(
        self, name: str, argv: Sequence[str], env: Mapping[str, str], cwd: Path, timeout_s: float, *, echo: bool = False
    ) -> None:
        """Run a command to its end; with `echo` its output appears here as it is written."""
        self.spawn(name, argv, env, cwd)
        try:
            self._wait_exit(name, time.monotonic() + timeout_s, echo=echo)
        finally:
            self.stop(name)

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Ask the process to end, kill it at the deadline, and delete its record."""
        if identity := self.find(name):
            tree = identity.tree()
            identity.send(number)
            identity.send(signal.SIGCONT)
            if not self._wait_gone(name, tree, deadline_s):
                self._kill(name, tree)
        self._forget(name)

    def kill(self, name: str) -> None:
        """SIGKILL the process and its descendants at once."""
        if identity := self.find(name):
            self._kill(name, identity.tree())
        self._forget(name)

    def kill_unrecorded(self) -> None:
        """SIGKILL processes without a record: the starter died before it wrote one, or only the parent was killed."""
        recorded = {member for name in self.names() if (found := self.find(name)) for member in found.tree()}
        for stray in set(belonging_to(self.directory, OWNER)) - recorded:
            self._kill("a process without a record", [stray])

    def rename(self, name: str, new_name: str) -> None:
        """Give a running process the name, and the log, of one that was forgotten."""
        self.log_path(name).replace(self._fresh_log(new_name))
        self._record(name).replace(self._record(new_name))
        if child := self._children.pop(name, None):
            self._children[new_name] = child

    def signal_tree(self, name: str, number: signal.Signals) -> None:
        if identity := self.find(name):
            for member in identity.tree():
                member.send(number)

    def tail(self, name: str, count: int = TAIL_LINES) -> list[str]:
        path = self.log_path(name)
        if not path.exists():
            return []
        with path.open(errors="replace") as log:
            return [line.rstrip("\n") for line in deque(log, maxlen=count)]

    def _wait_exit(self, name: str, deadline: float, *, echo: bool) -> None:
        child = self._children[name]
        with self.log_path(name).open(errors="replace") as log:
            while (status := child.poll()) is None:
                _echo(log.read() if echo else "")
                if time.monotonic() > deadline:
                    raise self._failed(name, "took too long")
                if self.cancelled.wait(POLL_S):
                    raise Cancelled
            _echo(log.read() if echo else "")
        if status:
            raise self._failed(name, f"failed with exit status {status}")

    def _kill(self, name: str, tree: Sequence[Identity]) -> None:
        for member in tree:
            member.send(signal.SIGKILL)
        if not self._wait_gone(name, tree, KILL_DEADLINE_S):
            raise DevstackError(f"{name} (pid {tree[0].pid}) does not die")

    def _wait_gone(self, name: str, tree: Sequence[Identity], deadline_s: float) -> bool:
        deadline = time.monotonic() + deadline_s
        while any(member.is_alive() for member in tree):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        if child := self._children.pop(name, None):
            child.wait()
        return True

    def _forget(self, name: str) -> None:
        if child := self._children.pop(name, None):
            child.wait()
        self._record(name).unlink(missing_ok=True)

    def _record(self, name: str) -> Path:
        return self.directory / "run" / f"{name}.json"

    def _fresh_log(self, name: str) -> Path:
        path = self.log_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.replace(path.with_suffix(".log.1"))
        return path

    def _failed(self, name: str, reason: str) -> ProcessFailed:
        return ProcessFailed(name, reason, self.tail(name), self.log_path(name))


def _echo(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
