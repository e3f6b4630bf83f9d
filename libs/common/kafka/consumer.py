"""Consumer runners: at-least-once delivery to idempotent handlers."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError, KafkaError
from opentelemetry.trace import get_current_span
from redis.exceptions import RedisError

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.common.core.settings import Settings
from libs.common.kafka.producer import EventProducer
from libs.common.kafka.spans import processing, processing_undecodable
from libs.contracts.base import Envelope, Payload, utc_now
from libs.contracts.codec import UndecodableError, decode
from libs.contracts.topics import dead_letter_topic
from libs.telemetry.metrics import counter, gauge, histogram
from libs.telemetry.tracing import mark_failed

POLL_MS = 200
POLL_BUSY_MS = 10  # while handlers run, so that a finished partition is fetched again soon
FETCH_WAIT_MS = 100  # a fetch leaves out partitions whose records wait here; they have to wait for the next fetch
GATHER_BYTES = 64 * 1024  # about 200 events; a fetch that found that many does not wait for more
BATCH = 500
BATCH_GAP_S = 0.025  # from one batch of a `GatheringRunner` to the next, unless the last one was full
READ_AHEAD = 500  # unfinished records per partition; a waiting upload takes about 13 KB
SESSION_MS = 10_000
MAX_POLL_INTERVAL_MS = 300_000
POISON_ATTEMPTS = 3  # a failure may be transient (a race, a deadlock); after these attempts the event is poison
BACKOFF_CAP_S = 5.0
OUTCOMES_WATCHED = 100  # if more than half of these events fail, the release is broken, and the consumer stops
MIN_POISON_TO_STOP = 20
STOP_S = 3.0  # to leave the group
# getmany() without partitions means all of them: one that does not exist sends heartbeats and fetches nothing.
NO_PARTITION = TopicPartition("", -1)
_TRANSIENT = (UnavailableError, KafkaError, RedisError, OSError, TimeoutError)
HEARTBEAT = gauge("feedmill_worker_heartbeat_time_seconds")
HANDLER_RETRIES = counter("feedmill_handler_retries_total")
EVENTS_HANDLED = counter("feedmill_events_handled_total")
EVENT_AGE = histogram("feedmill_event_age_seconds")
log = get_logger(__name__)


class TooMuchPoisonError(RuntimeError):
    """Most events fail, so the cause is probably in the code and not in the events."""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event and its position in the topic."""

    envelope: Envelope
    payload: Payload
    partition: int
    offset: int


_Batches = Mapping[TopicPartition, Sequence[ConsumerRecord]]
Handler = Callable[[Sequence[ReceivedEvent]], Awaitable[None]]
"""Handles events of one partition, or of several for a `GatheringRunner`. Those of each partition are in order.

It may be called again with events that it has handled, so it must be idempotent. It may wait as long as it needs: the
partition waits with it. A transient error (UnavailableError, KafkaError, RedisError, OSError, TimeoutError) makes the
runner call it again with the same events. After three other errors an event goes to the dead letters.
"""


class ConsumerClient(Protocol):
    """The part of aiokafka's consumer that the runner needs. Raises KafkaError."""

    def subscribe(self, topics: Sequence[str], *, listener: ConsumerRebalanceListener) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def assignment(self) -> Set[TopicPartition]: ...

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int, max_records: int
    ) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]: ...

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None: ...


def kafka_member(settings: Settings, group: str, *, gather_ms: int = 0) -> ConsumerClient:
    """Return aiokafka's consumer, without automatic commits. With `gather_ms`, Kafka gathers records for that time."""
    member: ConsumerClient = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=f"{settings.namespace}{group}",
        group_instance_id=f"{group}-{settings.instance}" if settings.instance else None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=SESSION_MS,
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        fetch_max_wait_ms=gather_ms or FETCH_WAIT_MS,
        fetch_min_bytes=GATHER_BYTES if gather_ms else 1,
    )
    return member


class ConsumerRunner(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Runs one consumer group: in order within a partition, partitions concurrently, offsets committed after the work.

    Args:
        settings: for Kafka, the namespace and the time for draining.
        group: without the namespace.
        topics: names in the contracts, without the namespace.
        handler: see `Handler`.
        producer: sends dead letters.
        on_dead_letter: called after an event was moved to the dead letters.
        open_member: creates the Kafka consumer.
    """

    def __init__(
        self,
        settings: Settings,
        group: str,
        topics: Sequence[str],
        handler: Handler,
        producer: EventProducer,
        on_dead_letter: Callable[[ReceivedEvent], Awaitable[None]] | None = None,
        open_member: Callable[[Settings, str], ConsumerClient] = kafka_member,
    ) -> None:
        self._group = group
        self._handler = handler
        self._producer = producer
        self._on_dead_letter = on_dead_letter
        self._work: dict[TopicPartition, asyncio.Task[None]] = {}
        self._outcomes: deque[bool] = deque(maxlen=OUTCOMES_WATCHED)
        self._drain_s = settings.drain_s
        self._has_joined = False
        self._was_kafka_away = False
        self._strip = len(settings.namespace)
        self._topics = [settings.topic(name) for name in topics]
        self._consumer = open_member(settings, group)

    async def run(self) -> None:
        """Consume until cancelled.

        Raises:
            TooMuchPoisonError: most events fail.
        """
        self._consumer.subscribe(self._topics, listener=self)
        await self._start()
        try:
            while True:
                HEARTBEAT.labels(self._group).set_to_current_time()
                await self._poll()
        finally:
            await self._drain(self._partitions())
            try:
                async with asyncio.timeout(STOP_S):  # aiokafka's stop() may hang (its issues 773, 659)
                    await self._consumer.stop()
            except TimeoutError:
                log.warning("consumer_stop_timed_out", group=self._group)

    async def assigned(self) -> bool:
        """A readiness check: true once the group has assigned partitions, or none, to this consumer."""
        return self._has_joined

    async def assigned_or_kafka_away(self) -> bool:
        """A readiness check for services that work without Kafka: also true if Kafka was down at the start."""
        return self._has_joined or self._was_kafka_away

    async def _start(self) -> None:
        while True:
            try:
                await self._consumer.start()
                return
            except KafkaError as error:
                self._was_kafka_away = isinstance(error, KafkaConnectionError)
                log.warning("consumer_waits_for_kafka", group=self._group, error=repr(error))
                await asyncio.sleep(1)

    async def _poll(self) -> None:
        idle = self._consumer.assignment() - self._work.keys()
        timeout_ms = POLL_BUSY_MS if self._work else POLL_MS
        batches = await self._consumer.getmany(*(idle or {NO_PARTITION}), timeout_ms=timeout_ms, max_records=BATCH)
        self._begin_work(batches)
        for partition in [p for p, task in self._work.items() if task.done()]:
            self._work.pop(partition).result()

    def _begin_work(self, batches: _Batches) -> None:
        for partition, records in batches.items():
            self._work[partition] = asyncio.create_task(self._process({partition: records}))

    async def _process(self, batches: _Batches) -> None:
        every = [record for records in batches.values() for record in records]
        decoded = [(record, result) for record in every if (result := _decode(record)) is not None]
        events = [result for _, result in decoded if isinstance(result, ReceivedEvent)]
        try:
            if events:
                with processing(self._group, events):
                    await self._attempt(events)
            decoded = [(record, result) for record, result in decoded if not isinstance(result, ReceivedEvent)]
        except Exception as error:  # at least one event is poison: handle them one by one to find it
            log.warning("batch_failed", group=self._group, size=len(events), error=repr(error))
        for record, result in decoded:
            if await self._handle_alone(record, result):
                # The records of its partition before it are done. Commit now: a restart sends no second dead letter.
                await self._commit({TopicPartition(record.topic, record.partition): record.offset + 1})
        await self._commit({partition: records[-1].offset + 1 for partition, records in batches.items()})

    async def _handle_alone(self, record: ConsumerRecord, result: ReceivedEvent | UndecodableError) -> bool:
        """True if the record was moved to the dead letters."""
        if isinstance(result, UndecodableError):
            with processing_undecodable(self._group, record.topic[self._strip :], record.headers):
                await self._dead_letter(record, result, 1)
            return True
        with processing(self._group, [result]):
            if error := await self._try(result):
                await self._dead_letter(record, error, POISON_ATTEMPTS)
                await self._notify(result)
        return error is not None

    async def _try(self, event: ReceivedEvent) -> Exception | None:
        """The handler's error at the last attempt; None if an attempt succeeded."""
        for attempt in range(1, POISON_ATTEMPTS + 1):
            try:
                await self._attempt([event])
                break
            except Exception as error:
                _add_event("attempt_failed", error)
                if attempt == POISON_ATTEMPTS:
                    return error
                await asyncio.sleep(random.uniform(0, 0.1 * 2**attempt))
        return None

    async def _attempt(self, events: Sequence[ReceivedEvent]) -> None:
        """Call the handler until it raises no transient error."""
        delay = 0.05
        while True:
            try:
                await self._handler(events)
                break
            except _TRANSIENT as error:
                HANDLER_RETRIES.labels(self._group).inc()
                _add_event("handler_retries", error)
                log.warning("handler_retries", group=self._group, error=repr(error))
                await asyncio.sleep(random.uniform(delay / 2, delay))
                delay = min(delay * 2, BACKOFF_CAP_S)
        now, topic = utc_now(), events[0].payload.topic  # the events of a call have one topic
        self._outcomes.extend([True] * len(events))
        EVENTS_HANDLED.labels(self._group, topic, "done").inc(len(events))
        age = EVENT_AGE.labels(self._group, topic)
        for event in events:
            age.observe(max(0.0, (now - event.envelope.occurred_at).total_seconds()))

    async def _dead_letter(self, record: ConsumerRecord, error: Exception, attempts: int) -> None:
        self._outcomes.append(False)
        failures = self._outcomes.count(False)
        if failures >= MIN_POISON_TO_STOP and failures * 2 > len(self._outcomes):
            raise TooMuchPoisonError(f"{failures} of the last {len(self._outcomes)} messages failed") from error
        why = {
            "dlq-group": self._group,
            "dlq-topic": record.topic,
            "dlq-partition": str(record.partition),
            "dlq-offset": str(record.offset),
            "dlq-error": repr(error)[:1000],
            "dlq-attempts": str(attempts),
        }
        headers = (*record.headers, *((name, value.encode()) for name, value in why.items()))
        delay = 0.1
        while True:
            try:
                await self._producer.send_raw(dead_letter_topic(record.topic), record.key, record.value, headers)
                break
            except UnavailableError:
                await asyncio.sleep(delay)
                delay = min(delay * 2, BACKOFF_CAP_S)
        EVENTS_HANDLED.labels(self._group, record.topic[self._strip :], "dead_letter").inc()
        _add_event("dead_letter", error)
        mark_failed(get_current_span(), type(error).__qualname__)
        log.error("dead_letter", group=self._group, topic=record.topic, offset=record.offset, error=repr(error))

    async def _notify(self, event: ReceivedEvent) -> None:
        """Call `on_dead_letter`. The event is in the dead letters already, so errors are only logged."""
        if self._on_dead_letter is not None:
            try:
                await self._on_dead_letter(event)
            except Exception as error:
                log.warning("dead_letter_not_notified", group=self._group, error=repr(error))

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        while owned := {p: offset for p, offset in offsets.items() if p in self._consumer.assignment()}:
            try:
                await self._consumer.commit(owned)
                return
            except (CommitFailedError, IllegalStateError):
                log.warning("commit_lost_partition", group=self._group, partitions=str(list(owned)))
                return  # another member has the partition now, and will repeat the work
            except (KafkaError, RuntimeError) as error:  # uvloop's, for a connection that has just been closed
                log.warning("commit_retries", group=self._group, error=repr(error))
                await asyncio.sleep(0.5)

    def _partitions(self) -> Sequence[TopicPartition]:
        """The partitions with unfinished work."""
        return list(self._work)

    async def _drain(self, partitions: Sequence[TopicPartition]) -> None:
        tasks = [task for p in partitions if (task := self._work.pop(p, None)) is not None]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self._drain_s)
        for task in late:
            task.cancel()

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Finish the current work on these partitions and commit it, within the time for draining."""
        await self._drain(list(revoked))

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self._has_joined = True
        log.info("partitions_assigned", group=self._group, count=len(assigned))


class GatheringRunner(ConsumerRunner):
    """Runs one consumer group whose handler takes the events of several partitions of a topic in one call.

    The events of each partition are in order. A batch begins at least `BATCH_GAP_S` after the one before it.
    So under load each call, and each commit, is for more events. A slow or poison event delays all partitions of its
    batch (ADR 25).
    """

    _next_s = 0.0

    async def _poll(self) -> None:
        await asyncio.sleep(max(0.0, self._next_s - asyncio.get_running_loop().time()))
        await super()._poll()

    def _begin_work(self, batches: _Batches) -> None:
        for topic in {partition.topic for partition in batches}:  # a blocked event does not stop other topics
            of_topic = {partition: records for partition, records in batches.items() if partition.topic == topic}
            self._work |= dict.fromkeys(of_topic, asyncio.create_task(self._process(of_topic)))
        if 0 < sum(map(len, batches.values())) < BATCH:
            self._next_s = asyncio.get_running_loop().time() + BATCH_GAP_S


@dataclass(slots=True)
class _Reading:
    """The next offset to read in a partition, and the unfinished records before it, by offset in ascending order."""

    next_offset: int
    committed: int
    tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    def done_to(self) -> int:
        """The first unfinished offset."""
        return next(iter(self.tasks), self.next_offset)


class UnorderedRunner(ConsumerRunner):
    """Runs one consumer group whose records are independent of each other: each is handled alone, all concurrently.

    So a slow record does not delay those behind it. The committed offset is the partition's first unfinished record:
    after a crash, finished records behind it are handled again. Per partition at most `READ_AHEAD` records and one
    batch are unfinished.
    """

    _reading: dict[TopicPartition, _Reading]
    _failed: list[asyncio.Task[None]]

    async def run(self) -> None:
        self._reading, self._failed = {}, []
        await super().run()

    async def _poll(self) -> None:
        full = {partition for partition, reading in self._reading.items() if len(reading.tasks) >= READ_AHEAD}
        wanted = (self._consumer.assignment() - full) or {NO_PARTITION}
        batches = await self._consumer.getmany(*wanted, timeout_ms=POLL_MS, max_records=BATCH)
        for partition, records in batches.items():
            self._begin(partition, records)
        for task in self._failed:
            task.result()
        for partition, reading in list(self._reading.items()):
            await self._commit_done(partition, reading)

    def _begin(self, partition: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        first = records[0].offset
        reading = self._reading.setdefault(partition, _Reading(first, first))
        for record in records:
            task = reading.tasks[record.offset] = asyncio.create_task(self._process_one(record))
            task.add_done_callback(partial(self._end, reading, record.offset))
        reading.next_offset = records[-1].offset + 1

    async def _process_one(self, record: ConsumerRecord) -> None:
        result = _decode(record)
        if result is not None:
            await self._handle_alone(record, result)

    def _end(self, reading: _Reading, offset: int, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        if task.exception():
            self._failed.append(task)
        else:
            del reading.tasks[offset]

    async def _commit_done(self, partition: TopicPartition, reading: _Reading) -> None:
        if (offset := reading.done_to()) > reading.committed:
            await self._commit({partition: offset})
            reading.committed = offset

    def _partitions(self) -> Sequence[TopicPartition]:
        return list(self._reading)

    async def _drain(self, partitions: Sequence[TopicPartition]) -> None:
        leaving = {p: reading for p in partitions if (reading := self._reading.pop(p, None)) is not None}
        if tasks := [task for reading in leaving.values() for task in reading.tasks.values()]:
            _, late = await asyncio.wait(tasks, timeout=self._drain_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                for partition, reading in leaving.items():
                    await self._commit_done(partition, reading)


def _add_event(name: str, error: Exception) -> None:
    get_current_span().add_event(name, {"error.type": type(error).__qualname__})


def _decode(record: ConsumerRecord) -> ReceivedEvent | UndecodableError | None:
    """The event in the record; None for a type or version that this release does not know."""
    try:
        received = decode(record.value)
    except UndecodableError as error:
        return error
    if received is None:
        return None
    return ReceivedEvent(received.envelope, received.payload, record.partition, record.offset)
