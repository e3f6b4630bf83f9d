"""The whole running system for tests that cross services. The first test that needs it starts it."""

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import STORES_DIR, settings_of_run
from devstack.environment import deployable_environ, public_url
from devstack.providers import StoreProvider
from devstack.settings import ROOT, Settings
from devstack.stack import Stack, find, is_healthy
from devstack.stores import Endpoints
from libs.common.core.settings import Settings as CommonSettings
from libs.common.testing import TIMEOUT_FACTOR

PUSH_THRESHOLD = 12  # followers from which an author is pulled: few enough to make some in a test
CHUNK_FOLLOWERS = 1  # more chunks than partitions, so that a fan-out takes several steps
RESTART_S = 60.0
CANARY_EVERY_S = 1  # so that no test waits long for a sample


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests of the stack in one worker, because some of them kill parts of it."""
    for item in items:
        if item.get_closest_marker("stack"):
            item.add_marker(pytest.mark.xdist_group("stack"))


def running_stack(directory: Path, endpoints: Endpoints, **settings: str) -> Stack:
    """Return the stack below `directory`, configured for running stores."""
    values = {
        **settings_of_run(directory).values,
        **endpoints.environ(),
        "FEEDMILL_NAMESPACE": "stack_",
        "FEEDMILL_RATE_LIMITS": "false",
        "FEEDMILL_PUSH_THRESHOLD": str(PUSH_THRESHOLD),
        "FEEDMILL_CHUNK_FOLLOWERS": str(CHUNK_FOLLOWERS),
        "FEEDMILL_TIMEOUT_FACTOR": str(TIMEOUT_FACTOR),
        "FEEDMILL_CANARY_EVERY_S": str(CANARY_EVERY_S),
        **settings,
    }
    return Stack(Settings(ROOT, directory / "stack", values), threading.Event())


@pytest.fixture(scope="session")
def stack(stores: StoreProvider) -> Stack:
    """Every deployable and the gateway, without a sample world."""
    stack = running_stack(Path(os.environ[STORES_DIR]), stores.endpoints())
    stack.up(only=stack.names())
    return stack


@pytest.fixture(scope="session")
def base_url(stack: Stack) -> str:
    """Return the address of the gateway."""
    return public_url(stack.state)


@contextmanager
def restarted(stack: Stack, names: Sequence[str], changes: Mapping[str, str]) -> Iterator[None]:
    """These deployables with other variables; afterwards as before."""

    def stop() -> None:
        for name in names:
            stack.table.stop(name)

    stop()
    env = {**stack.environ(stack.provider().endpoints()), **changes}
    for name in names:
        one = find(stack, name)
        command = [sys.executable, "-m", one.module]
        stack.table.spawn(name, command, deployable_environ(env, stack.state, one), stack.settings.root)
    ready = {name: lambda port=stack.state.port(name): is_healthy(port) for name in names}
    stack.table.wait_ready(ready, RESTART_S, lambda _: None)
    yield
    stop()
    stack.up(only=names)


def operator_settings(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> CommonSettings:
    """Return the settings of an operator's tool for the running stack."""
    for name, value in stack.environ(stack.provider().endpoints()).items():
        monkeypatch.setenv(name, value)
    return CommonSettings()
