"""Publishing events to Kafka."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol, Self, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from opentelemetry.trace import Span

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.common.core.settings import Settings
from libs.common.kafka.spans import send_span
from libs.contracts.base import Event, Payload
from libs.contracts.records import EventRecord, Header, encode
from libs.telemetry.metrics import counter
from libs.telemetry.tracing import end

_REQUEST_MS = 5_000
_STOP_S = 1.0  # unconfirmed events are not lost: an outbox or a repeated handler sends them again
_LINGER_MS = 2  # the events of a burst share a request; costs at most this much latency
EVENTS_PUBLISHED = counter("feedmill_events_published_total")
T = TypeVar("T")
log = get_logger(__name__)


class ProducerClient(Protocol):
    """The part of aiokafka's producer that publishing needs. Raises KafkaError."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(
        self, topic: str, value: bytes | None, *, key: bytes | None, headers: list[Header]
    ) -> Awaitable[Any]: ...


def kafka_sender(settings: Settings, name: str) -> ProducerClient:
    """Return aiokafka's producer. All in-sync replicas confirm a message. The order within a partition is preserved.

    It is not idempotent: an idempotent aiokafka producer stops sending after it drops a batch (its issue 1017).
    It also never drops a batch whose broker is unavailable. So messages may be duplicated, and consumers tolerate that.
    """
    sender: ProducerClient = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap,
        client_id=name,
        acks="all",
        linger_ms=_LINGER_MS,
        request_timeout_ms=_REQUEST_MS,
    )
    return sender


class EventProducer:
    """Publishes events. It connects in the background, so that a deployable with an outbox starts without Kafka."""

    def __init__(
        self, settings: Settings, name: str, open_sender: Callable[[Settings, str], ProducerClient] = kafka_sender
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

    def record(self, payload: Payload, entity: object, version: int) -> EventRecord:
        """Encode an event about version `version` of `entity`, with this deployable as its producer."""
        return encode(Event(payload=payload, entity=str(entity), entity_version=version), self._name)

    async def publish(self, event: Event) -> None:
        """Encode and send.

        Raises:
            UnavailableError: the brokers did not confirm it.
        """
        record = encode(event, self._name)
        await self.confirm(record, await self.enqueue(record), "direct")

    async def enqueue(self, record: EventRecord) -> Awaitable[Any]:
        """Queue a record behind earlier ones of its partition. The result is for `confirm`.

        Raises:
            UnavailableError: there was no space in the producer's buffer in time.
        """
        span = send_span(record)
        try:
            sent = await self._enqueue(
                self._settings.topic(record.topic), record.key.encode(), record.value, record.headers
            )
        except BaseException as error:
            if span is not None:
                end(span, error)
            raise
        return sent if span is None else asyncio.ensure_future(_until_confirmed(sent, span))

    async def confirm(self, record: EventRecord, sent: Awaitable[Any], via: str) -> None:
        """Wait until all in-sync replicas have a queued record.

        Raises:
            UnavailableError: the brokers did not confirm it.
        """
        await _answer(sent)
        EVENTS_PUBLISHED.labels(record.topic, via).inc()

    async def send_raw(self, topic: str, key: bytes | None, value: bytes | None, headers: tuple[Header, ...]) -> None:
        """Send bytes unchanged; `topic` includes the namespace. Raises UnavailableError."""
        await _answer(await self._enqueue(topic, key, value, headers))

    async def _enqueue(
        self, topic: str, key: bytes | None, value: bytes | None, headers: tuple[Header, ...]
    ) -> Awaitable[Any]:
        if self._starting is not None:
            if not self._starting.done():
                await asyncio.wait({self._starting}, timeout=_REQUEST_MS / 1_000)
            if not self._starting.done():
                raise UnavailableError("Kafka does not respond.")
            self._starting.result()
        return await _answer(self._producer.send(topic, value, key=key, headers=list(headers)))


async def _until_confirmed(sent: Awaitable[T], span: Span) -> T:
    try:
        confirmed = await sent
    except BaseException as error:
        end(span, error)
        raise
    end(span)
    return confirmed


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except KafkaError as error:
        raise UnavailableError("Kafka does not respond.") from error
