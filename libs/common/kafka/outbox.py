"""The transactional outbox: what was committed with its event is published, whatever dies in between."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from prometheus_client import Gauge

from libs.common.kafka.producer import EventProducer, Record
from libs.common.runtime.errors import UnavailableError
from libs.common.runtime.logging import get_logger

POLL_S = 1.0  # how soon the relay looks again
GRACE_S = 2.0  # the direct way has this long before the relay takes an event over
PAGE = 200
COUNTED = 5_000  # more that wait are not counted: it is as bad
WAITING = Gauge("feedmill_outbox_waiting", "Events that wait for Kafka for over 2 s, as who relays saw them.")
OLDEST = Gauge("feedmill_outbox_oldest_seconds", "How long the oldest of them waits.")
QUEUE_LIMIT = 10_000  # beyond this the direct way gives up and leaves events to the relay
log = get_logger(__name__)

Clock = Callable[[], float]
Mark = Callable[[set[int], set[int]], Awaitable[None]]
"""Told of the people who did something, and of the posts and authors that are not what they were; never raises."""


async def _mark_nothing(_readers: set[int], _outdated: set[int]) -> None:
    """For services that change no feed."""


class OutboxStore(Protocol):
    """The outbox table of one service."""

    async def lead(self) -> bool:
        """Whether this process is the one that relays just now."""

    async def oldest(self, limit: int, grace_s: float) -> Sequence[Record]:
        """Records older than `grace_s`, oldest first."""

    async def size(self, limit: int) -> int:
        """How many records there are, counting no further than about `limit`."""

    async def delete(self, record: Record) -> None:
        """Forget a published record."""


class Outbox:
    """Publishes committed records at once, and relays those that a crash or an outage left behind.

    Delivery is at least once; a record may come after a later one of the same entity, so events carry versions.
    """

    def __init__(
        self, store: OutboxStore, producer: EventProducer, mark: Mark = _mark_nothing, clock: Clock = time.time
    ) -> None:
        self._store = store
        self._producer = producer
        self._mark = mark
        self._clock = clock
        self.waited_s = 0.0
        """How long the oldest event waited when it was last looked for."""
        self._queue: asyncio.Queue[Record] = asyncio.Queue(QUEUE_LIMIT)

    async def committed(self, records: Sequence[Record]) -> None:
        """Publish soon; returns when what the records change in feeds is marked."""
        for record in records:
            try:
                self._queue.put_nowait(record)
            except asyncio.QueueFull:
                break
        await self._mark({user for r in records for user in r.touches}, {post for r in records for post in r.outdates})

    async def run_direct(self) -> None:
        """Publish what `committed` was told of, in order, until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < PAGE and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._publish(batch, "direct")

    async def run_relay(self) -> None:
        """Publish what was left behind, oldest first, until cancelled."""
        while True:
            try:
                relayed = await self._lead()
            except UnavailableError as error:
                log.warning("relay_waits", error=str(error))
                relayed = 0
            if relayed < PAGE:
                await asyncio.sleep(POLL_S)

    async def _lead(self) -> int:
        """Relay if that is this process's to do; only who does tells how much there is."""
        if await self._store.lead():
            return await self.relay_once()
        self._see(await self._store.oldest(1, GRACE_S))
        WAITING.set(0)
        OLDEST.set(0)
        return 0

    async def relay_once(self, grace_s: float = GRACE_S) -> int:
        """One page; the number of records published."""
        publishing = asyncio.create_task(self._publish(await self._look(grace_s), "relay"))
        try:
            while not (await asyncio.wait({publishing}, timeout=POLL_S))[0]:
                await self._look(grace_s)  # Kafka is away: the producer tries for as long
            return publishing.result()
        finally:
            publishing.cancel()

    async def _look(self, grace_s: float) -> Sequence[Record]:
        """The oldest page; says how much waits."""
        records = await self._store.oldest(PAGE, grace_s)
        WAITING.set(await self._store.size(COUNTED) if len(records) == PAGE else len(records))
        self._see(records)
        OLDEST.set(self.waited_s)
        return records

    def _see(self, records: Sequence[Record]) -> None:
        self.waited_s = self._clock() - records[0].created_us / 1_000_000 if records else 0.0

    async def _publish(self, records: Sequence[Record], via: str) -> int:
        results = await asyncio.gather(*(self._one(record, via) for record in records), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            log.warning("events_left_to_relay", count=len(failures), error=repr(failures[0]))
        return len(records) - len(failures)

    async def _one(self, record: Record, via: str) -> None:
        await self._producer.send(record, via)
        await self._store.delete(record)
