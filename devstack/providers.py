"""Where the stores come from: given addresses, Docker, or plain processes. Chosen once for a state directory."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal, Protocol

from devstack import ports
from devstack.errors import DevstackError
from devstack.processes import ProcessTable
from devstack.settings import Settings
from devstack.state import State
from devstack.stores import ALL, Endpoints, StoreName, StoreSet
from devstack.stores.kafka import PROXY_PORT

ProviderName = Literal["given", "docker", "processes"]
IMAGES = ("postgres:17", "redis:8", "apache/kafka:4.3.1", "cassandra:5.0")

ENGINE_TIMEOUT_S = 2.0
PULL_TIMEOUT_S = 240.0
COMPOSE_TIMEOUT_S = 400.0  # on a loaded machine Cassandra in a container may need 300 s


@dataclass(frozen=True, slots=True)
class Detour:
    """An address, and the port on which a proxy to it must listen. Clients of the store get the proxy's address."""

    address: str
    proxy_port: int


class StoreProvider(Protocol):
    """One way of having stores."""

    @property
    def name(self) -> ProviderName: ...

    def start(self) -> Endpoints:
        """Return when all four answer; start only what does not run yet."""
        ...

    def endpoints(self) -> Endpoints:
        """The addresses, without starting anything."""
        ...

    def kafka_detour(self) -> Detour | None:
        """Return a second address of Kafka, for a proxy that the caller runs, or None."""
        ...

    def stop(self, *, discard: bool = False) -> None:
        """Stop the stores. With `discard`, also delete data outside the state directory."""
        ...

    def undo(self) -> None:
        """Stop only what this object's `start` started."""
        ...

    def kill(self, store: StoreName) -> None:
        """Kill the process, as a crash does. `start` restarts it at the same address."""
        ...

    def pause(self, store: StoreName) -> None:
        """Freeze it: connections stay open and nothing answers."""
        ...

    def resume(self, store: StoreName) -> None:
        """End a pause."""
        ...


class GivenStores:
    """Stores that someone else runs."""

    name: ProviderName = "given"

    def __init__(self, given: Endpoints) -> None:
        self._given = given

    def start(self) -> Endpoints:
        return self._given

    def endpoints(self) -> Endpoints:
        return self._given

    def kafka_detour(self) -> None:
        """Return None, because the operator of the store configures its addresses."""

    def stop(self, *, discard: bool = False) -> None:
        """Do nothing: others run these stores."""

    def undo(self) -> None:
        """Do nothing: `start` started nothing."""

    def kill(self, store: StoreName) -> None:
        raise DevstackError(f"{store} is not ours to take away")

    pause = resume = kill


class ComposeStores:
    """The store services of docker-compose.yml."""

    name: ProviderName = "docker"

    def __init__(self, settings: Settings, state: State, table: ProcessTable) -> None:
        self._settings, self._state, self._table = settings, state, table
        self._started = False

    def start(self) -> Endpoints:
        with self._state.lock("stores", self._table.cancelled):
            if self._state.get("volumes") is None:  # left by a state directory that is gone: its password is too
                self.stop(discard=True)
                self._state.set("volumes", "ours")
            self._started = not all(ports.answers("127.0.0.1", self._state.port(name)) for name in ALL)
            self._up()
            return self.endpoints()

    def endpoints(self) -> Endpoints:
        at = {name: f"127.0.0.1:{self._state.port(name)}" for name in ALL}
        return Endpoints(
            kafka=at["kafka"],
            cassandra=at["cassandra"],
            postgres=f"postgresql://feedmill:{self._password()}@{at['postgres']}/postgres",
            redis=f"redis://{at['redis']}/0",
        )

    def kafka_detour(self) -> None:
        """Published ports lead to one address only."""

    def stop(self, *, discard: bool = False) -> None:
        self._run("compose-down", "down", *(["--volumes"] if discard else []))

    def undo(self) -> None:
        if self._started:
            self.stop()

    def kill(self, store: StoreName) -> None:
        self._run("compose-kill", "kill", store)

    def pause(self, store: StoreName) -> None:
        self._run("compose-pause", "pause", store)

    def resume(self, store: StoreName) -> None:
        self._run("compose-unpause", "unpause", store)

    def _password(self) -> str:
        return self._state.secret("postgres_password")

    def _variables(self) -> dict[str, str]:
        """Return the variables that are specific to this directory: project, password, and ports on the host."""
        directory = hashlib.sha256(str(self._state.directory).encode()).hexdigest()[:8]
        return {
            "COMPOSE_PROJECT_NAME": f"feedmill-{directory}",
            "FEEDMILL_POSTGRES_PASSWORD": self._password(),
            **{f"FEEDMILL_{name.upper()}_PORT": str(self._state.port(name)) for name in ALL},
        }

    def _up(self) -> None:
        self._run("compose-up", "up", "--detach", "--wait", *ALL)

    def _run(self, name: str, *arguments: str) -> None:
        env = {**self._settings.values, **self._variables()}
        self._table.run(name, ["docker", "compose", *arguments], env, self._settings.root, COMPOSE_TIMEOUT_S)


class ProcessStores:
    """Servers of this machine, started from packages and jars."""

    name: ProviderName = "processes"

    def __init__(self, state: State, table: ProcessTable, *, durable: bool) -> None:
        self._stores = StoreSet(state.directory, durable=durable, state=state, table=table)

    def start(self) -> Endpoints:
        return self._stores.start()

    def endpoints(self) -> Endpoints:
        return self._stores.endpoints()

    def kafka_detour(self) -> Detour:
        own = self._stores.store("kafka").ports
        return Detour(f"127.0.0.1:{own['kafka-detour']}", own[PROXY_PORT])

    def stop(self, *, discard: bool = False) -> None:  # noqa: ARG002 - all their data is in the state directory
        self._stores.stop()

    def undo(self) -> None:
        self._stores.undo()

    def kill(self, store: StoreName) -> None:
        self._stores.store(store).kill()

    def pause(self, store: StoreName) -> None:
        self._stores.store(store).pause()

    def resume(self, store: StoreName) -> None:
        self._stores.store(store).resume()


def provider(settings: Settings, state: State, table: ProcessTable, *, durable: bool = True) -> StoreProvider:
    """The adapter for the chosen way; without `durable`, stores may be quicker and lose data when the machine stops."""
    match decide(settings, state):
        case "given":
            return GivenStores(Endpoints.from_environ(settings.values))
        case "docker":
            return ComposeStores(settings, state, table)
        case "processes":
            return ProcessStores(state, table, durable=durable)


def decide(settings: Settings, state: State) -> ProviderName:
    """Choose the first of: given addresses, FEEDMILL_STORES, the stored choice, what the machine has."""
    given = Endpoints.from_environ(settings.values)
    if not given.missing():
        return "given"
    if given.environ():
        raise DevstackError(f"some stores are given; also set {', '.join(given.missing())}, or none")
    asked = settings.get("STORES") or state.get("provider")
    if asked is None:
        asked = "docker" if _docker_can(settings) else "processes"
    if asked not in ("docker", "processes"):
        raise DevstackError(f"FEEDMILL_STORES={asked}: it may be docker or processes")
    if state.get("provider") != asked:
        state.set("provider", asked)
    return "docker" if asked == "docker" else "processes"


def _docker_can(settings: Settings) -> bool:
    """Whether an engine and Compose answer, and have the images or can get them."""
    if not (settings.root / "docker-compose.yml").exists():
        return False
    if not (_succeeds("docker", "info") and _succeeds("docker", "compose", "version")):
        return False
    missing = [image for image in IMAGES if not _succeeds("docker", "image", "inspect", image)]
    if missing:
        print(f"pulling {', '.join(missing)}", file=sys.stderr, flush=True)
    return all(_succeeds("docker", "pull", "-q", image, timeout_s=PULL_TIMEOUT_S) for image in missing)


def _succeeds(*command: str, timeout_s: float = ENGINE_TIMEOUT_S) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=timeout_s).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
