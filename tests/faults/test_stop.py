"""SIGTERM, to a real process with work in progress."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from devstack import ports
from devstack.processes import ProcessTable
from libs.common.core.settings import Settings
from libs.common.kafka.admin import create_topics
from libs.common.kafka.producer import EventProducer
from libs.common.testing import SECRET, settings_for
from libs.common.testing.eventually import eventually
from libs.contracts.base import Event
from libs.contracts.events import UserCreated

pytestmark = pytest.mark.stores
NAME = "stopping"
LINGER_S, DRAIN_S = 2.0, 2.0
MARGIN_S = 10.0  # for leaving the group, on a busy machine
Start = Callable[..., None]


@pytest.fixture
async def settings(store_env: dict[str, str]) -> Settings:
    settings = settings_for(Settings, {**store_env, "FEEDMILL_NAMESPACE": f"stop{uuid4().hex[:8]}_"})
    await create_topics(settings, partitions=1)
    return settings


@pytest.fixture
def table(tmp_path: Path) -> Iterator[ProcessTable]:
    table = ProcessTable(tmp_path)
    yield table
    table.kill(NAME)


@pytest.fixture
def port() -> int:
    return ports.choose(set())


@pytest.fixture
def start(table: ProcessTable, settings: Settings, port: int) -> Start:
    def start(**more: str) -> None:
        own = {"kafka_bootstrap": settings.kafka_bootstrap, "namespace": settings.namespace, "port": port, **more}
        own |= {"internal_secret": SECRET, "cursor_secret": SECRET, "shutdown_delay_s": LINGER_S, "drain_s": DRAIN_S}
        environ = {**os.environ, **{f"FEEDMILL_{name.upper()}": str(value) for name, value in own.items()}}
        table.spawn(NAME, [sys.executable, "-m", "tests.faults.stopping"], environ, Path.cwd())

    return start


@pytest.fixture
async def http(port: int) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        yield http


def answering(http: httpx2.AsyncClient, status: int) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        try:
            return (await http.get("/health/ready")).status_code == status
        except httpx2.TransportError:
            return False

    return answers


def printing(table: ProcessTable, line: str) -> Callable[[], Awaitable[bool]]:
    async def prints() -> bool:
        return line in table.tail(NAME, 1_000)

    return prints


def terminate(table: ProcessTable) -> Callable[[], Awaitable[bool]]:
    process = table.find(NAME)
    assert process
    process.send(signal.SIGTERM)

    async def is_gone() -> bool:
        return table.find(NAME) is None

    return is_gone


async def publish(settings: Settings, user_id: int) -> None:
    async with EventProducer(settings, "tests") as producer:
        await producer.publish(Event(payload=UserCreated(user_id=user_id), entity=str(user_id), entity_version=1))


async def test_work_in_hand_is_finished_and_committed(
    settings: Settings, table: ProcessTable, start: Start, http: httpx2.AsyncClient
) -> None:
    start()
    await eventually(answering(http, 200))
    await publish(settings, 1)
    await eventually(printing(table, "in hand"))
    request = asyncio.create_task(http.get("/work"))
    await eventually(printing(table, "asked"))
    is_gone = terminate(table)
    await eventually(answering(http, 503))  # not ready, and it listens
    assert (await request).json() == "done"
    await eventually(is_gone)
    assert table.tail(NAME, 1_000).count("handled 1") == 1
    await publish(settings, 2)
    start()
    await eventually(printing(table, "in hand"))
    is_gone = terminate(table)
    await eventually(is_gone)
    handled = [line for line in table.tail(NAME, 1_000) if line.startswith("handled")]
    assert handled == ["handled 2"]


async def test_what_does_not_end_is_broken_off_and_done_by_the_next(
    settings: Settings, table: ProcessTable, start: Start, http: httpx2.AsyncClient
) -> None:
    start(in_hand="stays")
    await publish(settings, 1)
    await eventually(printing(table, "in hand"))
    await eventually(terminate(table), LINGER_S + DRAIN_S + MARGIN_S)
    start()
    await eventually(printing(table, "in hand"))
    terminate(table)
    await eventually(printing(table, "handled 1"))
