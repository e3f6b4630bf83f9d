"""The transactional outbox: what was committed with its event is published, whatever dies in between."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from prometheus_client import Gauge

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.common.kafka.producer import EventProducer, Record

POLL_S = 1.0  # how soon the relay looks again
GRACE_S = 2.0  # the direct way has this long before the relay takes an event over
FAR_S = 10.0  # while the relay is further behind, nothing is held for the direct way: the relay will get there first
PAGE = 200
COUNTED = 5_000  # more that wait are not counted: it is as bad
WAITING = Gauge("feedmill_outbox_waiting", "Events that wait for the relay, as who relays saw them.")
OLDEST = Gauge("feedmill_outbox_oldest_seconds", "How long the oldest of them waits.")
QUEUE_LIMIT = 10_000  # events that the direct way holds; what is more is left to the relay
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

    Delivery is at least once, in the order of this process's commits: while older ones wait for the relay, the direct
    way holds what is committed. Other processes' may come between or before, so events carry versions.
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
        self._in_turn = asyncio.Event()
        self._held_from_s = clock()

    async def committed(self, records: Sequence[Record]) -> None:
        """Publish soon; returns when what the records change in feeds is marked."""
        for record in records:
            if self._queue.full():
                self._stand_aside()
            self._queue.put_nowait(record)
        await self._mark({user for r in records for user in r.touches}, {post for r in records for post in r.outdates})

    async def run_direct(self) -> None:
        """Publish what `committed` was told of, in order, until cancelled; needs `run_relay` beside it."""
        while True:
            batch = [await self._queue.get()]
            while not self._in_turn.is_set():
                await self._in_turn.wait()
            while len(batch) < PAGE and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            if await self._publish(batch, "direct") < len(batch):
                self._stand_aside()
            for _ in batch:
                self._queue.task_done()

    async def flush(self) -> None:
        """Return when nothing is left to the direct way."""
        await self._queue.join()

    def _stand_aside(self) -> None:
        """Leave to the relay what is committed by now; hold what will be until that is told."""
        self._in_turn.clear()
        self._held_from_s = self._clock()
        while not self._queue.empty():
            self._queue.get_nowait()
            self._queue.task_done()

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
        await self._oldest(1)
        WAITING.set(0)
        OLDEST.set(0)
        return 0

    async def relay_once(self) -> int:
        """Publish the oldest page, and say how much waits; the number of records published."""
        records = await self._oldest(PAGE)
        WAITING.set(await self._store.size(COUNTED) if len(records) == PAGE else len(records))
        OLDEST.set(self.waited_s)
        return await self._publish(records, "relay")

    async def _oldest(self, limit: int) -> Sequence[Record]:
        """What waits for the relay, oldest first; by it the direct way stands aside or has its turn again."""
        grace_s = GRACE_S if self._in_turn.is_set() else 0.0
        now_s = self._clock()
        records = await self._store.oldest(limit, grace_s)
        told_up_to_s = records[0].created_us / 1_000_000 if records else now_s - grace_s
        self.waited_s = now_s - told_up_to_s if records else 0.0
        if self.waited_s > FAR_S or (records and self._in_turn.is_set()):
            self._stand_aside()
        elif told_up_to_s >= self._held_from_s:
            self._in_turn.set()
        return records

    async def _publish(self, records: Sequence[Record], via: str) -> int:
        """Publish in order; the number of records confirmed. After one that is not taken, none is.

        They are handed over one by one, as aiokafka lets a small record pass one that waits for room.
        """
        taken: list[Awaitable[Any]] = []
        try:
            for record in records:
                taken.append(await self._producer.enqueue(record))  # noqa: PERF401 - those before one that is not count
        except UnavailableError as error:
            log.warning("event_not_taken", error=repr(error))
        results = await asyncio.gather(
            *(self._confirm(*one, via) for one in zip(records, taken, strict=False)), return_exceptions=True
        )
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            log.warning("events_not_confirmed", count=len(failures), error=repr(failures[0]))
        return len(results) - len(failures)

    async def _confirm(self, record: Record, taken: Awaitable[Any], via: str) -> None:
        await self._producer.confirm(record, taken, via)
        await self._store.delete(record)
