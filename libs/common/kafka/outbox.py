"""The transactional outbox: an event that was committed with a change is published, whatever crashes in between."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.common.kafka.producer import EventProducer
from libs.contracts.base import Payload
from libs.contracts.records import EventRecord
from libs.telemetry.metrics import gauge

POLL_S = 1.0  # how soon the relay looks again
GRACE_S = 2.0  # direct publishing has this long before the relay takes an event over
FAR_S = 10.0  # while the relay is further behind, no events are queued for direct publishing: the relay is first
PAGE = 200
FORGET_S = 0.25  # rows of published events are deleted together, because each write costs Cassandra more than a row
COUNTED = 5_000  # the count of waiting events stops here
WAITING = gauge("feedmill_outbox_waiting")
OLDEST = gauge("feedmill_outbox_oldest_seconds")
QUEUE_LIMIT = 10_000  # events queued for direct publishing; beyond it they are left to the relay
log = get_logger(__name__)
Clock = Callable[[], float]
OnCommit = Callable[[Sequence[Payload]], Awaitable[None]]
"""Called with events after their commit and before the request is answered; never raises."""


class OutboxStore(Protocol):
    """The outbox table of one service. Raises UnavailableError."""

    async def lead(self) -> bool:
        """True if this process may relay now."""

    async def oldest(self, limit: int, grace_s: float) -> Sequence[EventRecord]:
        """Records older than `grace_s`, oldest first."""

    async def size(self, limit: int) -> int:
        """The number of records; counting stops at about `limit`."""

    async def delete(self, records: Sequence[EventRecord]) -> None:
        """Delete published records."""


class Outbox:
    """Publishes committed events directly, and relays those that a crash or an outage left behind.

    Implements `libs.contracts.records.EventOutbox`. Delivery is at least once, in the order of this process's commits:
    while older events wait for the relay, newer ones are held back. Events of other processes may come in between, so
    events carry versions.
    """

    def __init__(
        self,
        store: OutboxStore,
        producer: EventProducer,
        on_commit: OnCommit | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._store = store
        self._producer = producer
        self._on_commit = on_commit
        self._clock = clock
        self.waited_s = 0.0
        """How long the oldest event had waited at the last look."""
        self._queue: asyncio.Queue[EventRecord] = asyncio.Queue(QUEUE_LIMIT)
        self._direct = asyncio.Event()
        self._held_from_s = clock()
        self._published: list[EventRecord] = []
        """Published directly, and not deleted yet."""
        self._forget_at = 0.0

    def record(self, payload: Payload, entity: object, version: int) -> EventRecord:
        return self._producer.record(payload, entity, version)

    async def committed(self, records: Sequence[EventRecord]) -> None:
        for record in records:
            if self._queue.full():
                self._fall_back_to_relay()
            self._queue.put_nowait(record)
        if self._on_commit is not None:
            await self._on_commit([record.payload for record in records if record.payload is not None])

    async def run_direct(self) -> None:
        """Publish committed events in order, until cancelled. `run_relay` must run at the same time."""
        while True:
            batch = [await self._next()]
            while not self._direct.is_set():
                await self._direct.wait()
            while len(batch) < PAGE and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            published = await self._publish(batch, "direct")
            if published and not self._published:
                self._forget_at = asyncio.get_running_loop().time() + FORGET_S
            self._published += published
            if len(published) < len(batch):
                self._fall_back_to_relay()
            for _ in batch:
                self._queue.task_done()

    async def _next(self) -> EventRecord:
        """Wait for a committed event. Meanwhile, delete the rows of published ones."""
        while self._published and asyncio.get_running_loop().time() < self._forget_at:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._forget_at):
                    return await self._queue.get()
        await self._forget()
        return await self._queue.get()

    async def _forget(self) -> None:
        """Delete the rows of events that were published directly. If that fails, the relay publishes them again."""
        published, self._published = self._published, []
        try:
            if published:
                await self._store.delete(published)
        except UnavailableError as error:
            log.warning("published_events_not_deleted", count=len(published), error=str(error))

    async def flush(self) -> None:
        """Wait until nothing is queued for direct publishing, and no published event is left in the table."""
        await self._queue.join()
        await self._forget()

    def _fall_back_to_relay(self) -> None:
        """Drop the queue, whose rows are in the table, and hold new events until the relay has caught up."""
        self._direct.clear()
        self._held_from_s = self._clock()
        while not self._queue.empty():
            self._queue.get_nowait()
            self._queue.task_done()

    async def run_relay(self) -> None:
        """Publish what was left behind, oldest first, until cancelled."""
        while True:
            try:
                relayed = await self._relay_if_leader()
            except UnavailableError as error:
                log.warning("relay_waits", error=str(error))
                relayed = 0
            if relayed < PAGE:
                await asyncio.sleep(POLL_S)

    async def _relay_if_leader(self) -> int:
        if await self._store.lead():
            return await self.relay_once()
        await self._look(1)
        WAITING.set(0)
        OLDEST.set(0)
        return 0

    async def relay_once(self) -> int:
        """Publish the oldest page and set the metrics; the number of events published."""
        records = await self._look(PAGE)
        WAITING.set(await self._store.size(COUNTED) if len(records) == PAGE else len(records))
        OLDEST.set(self.waited_s)
        published = await self._publish(records, "relay") if records else []
        if published:
            await self._store.delete(published)
        return len(published)

    async def _look(self, limit: int) -> Sequence[EventRecord]:
        """The oldest waiting events. What they tell turns direct publishing on or off."""
        await self._forget()
        grace_s = GRACE_S if self._direct.is_set() else 0.0
        now_s = self._clock()
        records = await self._store.oldest(limit, grace_s)
        published_to_s = records[0].created_us / 1_000_000 if records else now_s - grace_s
        self.waited_s = now_s - published_to_s if records else 0.0
        self._switch(published_to_s, has_backlog=bool(records))
        return records

    def _switch(self, published_to_s: float, *, has_backlog: bool) -> None:
        """Stop direct publishing if the relay has a backlog. Resume it once all earlier events are published."""
        if self.waited_s > FAR_S or (has_backlog and self._direct.is_set()):
            self._fall_back_to_relay()
        elif published_to_s >= self._held_from_s:
            self._direct.set()

    async def _publish(self, records: Sequence[EventRecord], via: str) -> list[EventRecord]:
        """Publish in order, and return the confirmed events. After a failed enqueue the rest waits.

        They are sent one by one, because aiokafka lets a small event overtake one that waits for room.
        """
        sent: list[Awaitable[Any]] = []
        try:
            for record in records:
                sent.append(await self._producer.enqueue(record))  # noqa: PERF401 - those before a failure count
        except UnavailableError as error:
            log.warning("event_not_sent", error=repr(error))
        results = await asyncio.gather(
            *(self._producer.confirm(*pair, via) for pair in zip(records, sent, strict=False)), return_exceptions=True
        )
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            log.warning("events_not_confirmed", count=len(failures), error=repr(failures[0]))
        return [record for record, result in zip(records, results, strict=False) if result is None]
