"""Events to Kafka."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from libs.common.core.context import traceparent
from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.common.core.metrics import EVENTS_PUBLISHED
from libs.common.core.settings import Settings
from libs.contracts.base import Event

_REQUEST_MS = 5_000
_STOP_S = 1.0  # what has to get there waits in an outbox, or for its handler
_LINGER_MS = 2  # lets events of one burst share a request; costs at most this much latency

Header = tuple[str, bytes]
T = TypeVar("T")
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """An event as bytes, ready for an outbox or a topic; `topic` is the contract's name.

    `created_us`, microseconds since the Unix epoch, is where an outbox keeps it. `touches` and `outdates` are those of
    the payload; a record read back from an outbox has none.
    """

    event_id: UUID
    topic: str
    key: str
    value: bytes
    headers: tuple[Header, ...]
    created_us: int
    touches: tuple[int, ...] = field(default=(), compare=False)
    outdates: tuple[int, ...] = field(default=(), compare=False)


def encode(event: Event, producer: str) -> Record:
    """The record of `event`, with the trace in hand."""
    trace = traceparent()
    envelope = event.envelope(producer, trace)
    headers = [("type", envelope.type.encode()), ("version", str(envelope.version).encode())]
    if trace:
        headers.append(("traceparent", trace.encode()))
    return Record(
        event.event_id,
        event.payload.topic,
        event.payload.key(),
        envelope.encode(),
        tuple(headers),
        time.time_ns() // 1_000,
        event.payload.touches(),
        event.payload.outdates(),
    )


class Sender(Protocol):
    """What publishing needs of a Kafka producer: aiokafka's, with its errors."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(
        self, topic: str, value: bytes | None, *, key: bytes | None, headers: list[Header]
    ) -> Awaitable[Any]: ...


def kafka_sender(settings: Settings, name: str) -> Sender:
    """A sender that confirms what all in-sync replicas have; it keeps a partition's order, and may send twice.

    It is not idempotent: aiokafka never closes the gap in the sequence numbers that a batch given up leaves, and sends
    nothing more (its issue 1017), and it gives up no batch whose broker is away. Doubles are harmless downstream.
    """
    sender: Sender = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap,
        client_id=name,
        acks="all",
        linger_ms=_LINGER_MS,
        request_timeout_ms=_REQUEST_MS,
    )
    return sender


class EventProducer:
    """Publishes records. It starts in the background: who has an outbox need not wait for Kafka."""

    def __init__(
        self, settings: Settings, name: str, open_sender: Callable[[Settings, str], Sender] = kafka_sender
    ) -> None:
        self._settings = settings
        self._name = name
        self._producer = open_sender(settings, name)
        self._starting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._starting = asyncio.create_task(self._start())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._starting is not None:
            self._starting.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):  # aiokafka's stop() waits for what Kafka has not confirmed
                await self._producer.stop()

    async def _start(self) -> None:
        while True:
            try:
                await self._producer.start()
                return
            except KafkaError as error:
                log.warning("producer_waits_for_kafka", error=repr(error))
                await asyncio.sleep(1)

    async def publish(self, event: Event) -> None:
        """Encode and send.

        Raises:
            UnavailableError: the brokers did not confirm it.
        """
        record = encode(event, self._name)
        await self.confirm(record, await self.enqueue(record), "direct")

    async def enqueue(self, record: Record) -> Awaitable[Any]:
        """Take a record, to go out after those of its partition that were taken before; give what `confirm` waits for.

        Raises:
            UnavailableError: there was no room for it in time.
        """
        return await self._enqueue(
            self._settings.topic(record.topic), record.key.encode(), record.value, record.headers
        )

    async def confirm(self, record: Record, taken: Awaitable[Any], via: str) -> None:
        """Wait until all in-sync replicas have a record that was taken.

        Raises:
            UnavailableError: the brokers did not confirm it.
        """
        await _answer(taken)
        EVENTS_PUBLISHED.labels(record.topic, via).inc()

    async def send_raw(self, topic: str, key: bytes | None, value: bytes | None, headers: tuple[Header, ...]) -> None:
        """Send bytes as they are, to the topic's full name."""
        await _answer(await self._enqueue(topic, key, value, headers))

    async def _enqueue(
        self, topic: str, key: bytes | None, value: bytes | None, headers: tuple[Header, ...]
    ) -> Awaitable[Any]:
        if self._starting is not None:
            if not self._starting.done():
                await asyncio.wait({self._starting}, timeout=_REQUEST_MS / 1_000)
            if not self._starting.done():
                raise UnavailableError("Kafka does not answer")
            self._starting.result()
        return await _answer(self._producer.send(topic, value, key=key, headers=list(headers)))


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except KafkaError as error:
        raise UnavailableError("Kafka does not answer") from error
