"""Direct publishing, and when its rows are deleted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from libs.common.core.errors import UnavailableError
from libs.common.core.settings import Settings
from libs.common.kafka import outbox as module
from libs.common.kafka.outbox import Outbox
from libs.common.kafka.producer import EventProducer
from libs.common.testing import settings_for
from libs.contracts.events import PostDeleted
from libs.contracts.records import EventRecord, Header

NEVER_S = 3_600.0


class Rows:
    """Implements `OutboxStore`."""

    def __init__(self) -> None:
        self.waiting: list[EventRecord] = []
        self.deleted: list[int] = []  # rows by call
        self.is_away = False
        self.changed = asyncio.Event()

    async def lead(self) -> bool:
        return True

    async def oldest(self, limit: int, grace_s: float) -> Sequence[EventRecord]:
        return [] if grace_s else self.waiting[:limit]

    async def size(self, limit: int) -> int:
        return min(limit, len(self.waiting))

    async def delete(self, records: Sequence[EventRecord]) -> None:
        self.changed.set()
        if self.is_away:
            raise UnavailableError
        self.deleted.append(len(records))
        self.waiting = [record for record in self.waiting if record not in records]


class Sender:
    """Implements `ProducerClient`."""

    def __init__(self) -> None:
        self.sent: list[bytes | None] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(
        self, topic: str, value: bytes | None, *, key: bytes | None, headers: list[Header]
    ) -> Awaitable[Any]:
        self.sent.append(value)
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer.set_result(None)
        return answer


class World:
    def __init__(self) -> None:
        self.rows, self.sender = Rows(), Sender()
        self.producer = EventProducer(settings_for(Settings, {}), "tests", lambda *_: self.sender)
        self.outbox = Outbox(self.rows, self.producer)

    async def commit(self, post_id: int) -> None:
        """Commit an event, and return when it was published."""
        record = self.outbox.record(PostDeleted(post_id=post_id, author_id=1), post_id, 1)
        self.rows.waiting.append(record)
        await self.outbox.committed([record])
        await self.outbox._queue.join()


@asynccontextmanager
async def publishing() -> AsyncIterator[World]:
    world = World()
    await world.outbox.relay_once()  # nothing waits, so events are published directly
    task = asyncio.create_task(world.outbox.run_direct())
    try:
        yield world
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_rows_of_published_events_are_deleted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FORGET_S", NEVER_S)
    async with publishing() as world:
        for post_id in range(5):
            await world.commit(post_id)
        assert (len(world.sender.sent), len(world.rows.waiting)) == (5, 5)
        await world.outbox.flush()
        assert (world.rows.deleted, world.rows.waiting) == ([5], [])


async def test_they_are_deleted_while_nothing_new_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FORGET_S", 0.0)
    async with publishing() as world:
        await world.commit(1)
        await world.rows.changed.wait()
        assert world.rows.waiting == []


async def test_the_relay_does_not_repeat_events_that_this_process_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FORGET_S", NEVER_S)
    async with publishing() as world:
        await world.commit(1)
        world.outbox._fall_back_to_relay()
        assert await world.outbox.relay_once() == 0
        assert (len(world.sender.sent), world.rows.waiting) == (1, [])


async def test_rows_that_could_not_be_deleted_are_left_to_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FORGET_S", 0.0)
    async with publishing() as world:
        world.rows.is_away = True
        await world.commit(1)
        await world.rows.changed.wait()
        world.rows.is_away = False
        await world.commit(2)  # the publisher goes on
        await world.outbox.flush()
        assert [record.key for record in world.rows.waiting] == ["1"]
        world.outbox._fall_back_to_relay()
        assert await world.outbox.relay_once() == 1
        assert world.rows.waiting == []
