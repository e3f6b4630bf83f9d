"""The stored state of one checkout: ports, secrets, the store provider, and whether it is seeded."""

import contextlib
import fcntl
import json
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from devstack import ports
from devstack.errors import Cancelled, DevstackError

LOCK_POLL_S = 0.1


class State:
    """A directory with `state.json` (facts) and `secrets.json` (mode 0600)."""

    def __init__(self, directory: Path, pinned: Mapping[str, int] | None = None) -> None:
        self.directory = directory
        self._pinned = dict(pinned or {})
        self._facts = _read(directory / "state.json")

    def get(self, key: str) -> str | None:
        value = self._facts.get(key)
        return value if isinstance(value, str) else None

    def set(self, key: str, value: str) -> None:
        self._facts[key] = value
        self._save()

    def port(self, name: str, preferred: int | None = None) -> int:
        """Return the stored port of this name, and choose one if there is none."""
        if name in self._pinned:
            return self._pinned[name]
        kept = self._ports()
        if name not in kept:
            usable = preferred is not None and ports.is_free(preferred)
            kept[name] = preferred if preferred and usable else ports.choose(set(kept.values()))
            self._facts["ports"] = kept
            self._save()
        return kept[name]

    def free_port(self, name: str, preferred: int | None = None) -> int:
        """Return the port for a process that is about to start. A stored port that another process uses is replaced."""
        port = self.port(name, preferred)
        if ports.is_free(port):
            return port
        if name in self._pinned:
            raise DevstackError(f"port {port}, fixed for {name}, is taken by another program")
        self._facts["ports"] = {key: value for key, value in self._ports().items() if key != name}
        return self.port(name)

    def choose_others(self, names: Iterable[str]) -> dict[str, int]:
        """Choose free ports for second processes of these names. Only `keep_ports` stores them."""
        chosen: dict[str, int] = {}
        for name in names:
            if name in self._pinned:
                raise DevstackError(
                    f"port {self._pinned[name]} is fixed for {name}: there can be no second one beside it"
                )
            chosen[name] = ports.choose({*self._ports().values(), *chosen.values()})
        return chosen

    def keep_ports(self, chosen: Mapping[str, int]) -> None:
        self._facts["ports"] = {**self._ports(), **chosen}
        self._save()

    def secret(self, name: str) -> str:
        """A random secret, made once."""
        path = self.directory / "secrets.json"
        known = _read(path)
        if name not in known:
            known[name] = secrets.token_urlsafe(32)
            _write(path, known, mode=0o600)
        return str(known[name])

    @contextlib.contextmanager
    def lock(self, name: str, cancelled: threading.Event | None = None) -> Iterator[None]:
        """Hold a lock that dies with this process; wait for it only when it can be cancelled."""
        make_private(self.directory)
        with (self.directory / f"{name}.lock").open("w") as file:
            while not _try_lock(file.fileno()):
                if cancelled is None:
                    raise DevstackError("another `up` or `down` of this checkout is at work")
                if cancelled.wait(LOCK_POLL_S):
                    raise Cancelled
            self._facts = _read(self.directory / "state.json")
            yield

    def _ports(self) -> dict[str, int]:
        kept = self._facts.get("ports")
        return dict(kept) if isinstance(kept, dict) else {}

    def _save(self) -> None:
        _write(self.directory / "state.json", self._facts, mode=0o644)


def make_private(directory: Path) -> None:
    """Make the state directory. Only its owner may read it, because it has photos, logs and the data of all stores."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)  # one that an earlier version made is open to all


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    facts = json.loads(path.read_text())
    return facts if isinstance(facts, dict) else {}


def _write(path: Path, facts: Mapping[str, object], mode: int) -> None:
    make_private(path.parent)
    draft = path.with_suffix(".tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        json.dump(facts, file, indent=2, sort_keys=True)
    draft.replace(path)
