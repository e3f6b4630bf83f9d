"""Real stores for the whole test run: started once, by whoever needs them first, and shared by all workers."""

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devstack.processes import ProcessTable
from devstack.stores import StoreSet

STORES_DIR = "FEEDMILL_TEST_STORES_DIR"


def pytest_configure(config: pytest.Config) -> None:
    """Name the directory before workers are started."""
    if not hasattr(config, "workerinput"):
        os.environ[STORES_DIR] = tempfile.mkdtemp(prefix="feedmill-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what any worker started."""
    if not hasattr(config, "workerinput"):
        directory = Path(os.environ.pop(STORES_DIR))
        _stop_all(directory / "stack")
        _stop_all(directory)
        shutil.rmtree(directory, ignore_errors=True)


def _stop_all(directory: Path) -> None:
    table = ProcessTable(directory)
    with ThreadPoolExecutor() as pool:
        list(pool.map(table.stop, table.names()))


@pytest.fixture(scope="session")
def stores() -> StoreSet:
    """The running stores of this test run; do not stop one that other workers may be using."""
    store_set = StoreSet(Path(os.environ[STORES_DIR]), say=lambda _: None)
    store_set.start()
    return store_set


@pytest.fixture(scope="session")
def store_env(stores: StoreSet, worker_id: str) -> dict[str, str]:
    """`FEEDMILL_…` variables of the stores, with a namespace of this worker's own."""
    return {**stores.endpoints().environ(), "FEEDMILL_NAMESPACE": f"t{worker_id}_"}
