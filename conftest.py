"""Real stores for the whole test run: started once, by whoever needs them first, and shared by all workers."""

import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings

from devstack.processes import ProcessTable
from devstack.providers import StoreProvider, decide, provider
from devstack.settings import ROOT, Settings
from devstack.state import State

settings.register_profile("feedmill", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("feedmill")

STORES_DIR = "FEEDMILL_TEST_STORES_DIR"
OWN_STORES = "faults"  # below it: those that tests take away, which nobody else may be using


def pytest_configure(config: pytest.Config) -> None:
    """Name the directory before workers are started."""
    if not hasattr(config, "workerinput"):
        os.environ[STORES_DIR] = tempfile.mkdtemp(prefix="feedmill-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the stores that any pytest worker started."""
    if not hasattr(config, "workerinput"):
        directory = Path(os.environ.pop(STORES_DIR))
        for home in (directory / OWN_STORES, directory):
            stop_all(home)
        shutil.rmtree(directory, ignore_errors=True)


def stop_all(directory: Path) -> None:
    """The stack and the stores in this directory."""
    table = ProcessTable(directory / "stack")
    with ThreadPoolExecutor() as pool:
        list(pool.map(table.stop, table.names()))
    if (directory / "state.json").exists():
        store_provider(directory).stop(discard=True)


def settings_of_run(directory: Path) -> Settings:
    """As outside of tests, but without the ports that somebody fixed for the running system."""
    values = {name: value for name, value in Settings.load().values.items() if not name.endswith("_PORT")}
    return Settings(ROOT, directory, values)


def store_provider(directory: Path, *, durable: bool = False) -> StoreProvider:
    """Where this run's stores come from; all workers agree. `durable` ones may be killed and lose nothing."""
    settings, state, table = settings_of_run(directory), State(directory), ProcessTable(directory)
    with state.lock("choice", threading.Event()):
        if decide(settings, state) == "docker":
            from tests.containers import ContainerStores  # half a second that unit tests need not wait for

            return ContainerStores(settings, state, table)
        return provider(settings, state, table, durable=durable)


@pytest.fixture(scope="session")
def stores() -> StoreProvider:
    """The running stores of this test run; do not stop one that other workers may be using."""
    stores = store_provider(Path(os.environ[STORES_DIR]))
    stores.start()
    return stores


@pytest.fixture(scope="session")
def store_env(stores: StoreProvider, worker_id: str) -> dict[str, str]:
    """`FEEDMILL_…` variables of the stores, with a namespace of this worker's own."""
    return {**stores.endpoints().environ(), "FEEDMILL_NAMESPACE": f"t{worker_id}_"}


@pytest.fixture(scope="session")
def s3_env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """`FEEDMILL_…` variables of an S3 server and a bucket of its own for this worker."""
    from tests.s3 import running_s3

    with running_s3(tmp_path_factory.mktemp("s3")) as environ:
        yield {**environ, "FEEDMILL_OBJECT_STORE_URL": f"s3://feedmill-{secrets.token_hex(4)}"}
