"""Spans of events, from the record in an outbox to the handler, and spans of HTTP."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, cast

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaTimeoutError
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from libs.common.core.errors import UnavailableError
from libs.common.core.settings import Settings
from libs.common.kafka.consumer import POISON_ATTEMPTS, ConsumerRunner, Handler, ReceivedEvent
from libs.common.kafka.producer import EventProducer
from libs.common.kafka.spans import processing
from libs.common.testing import settings_for
from libs.common.testing.eventually import eventually
from libs.contracts.base import Event
from libs.contracts.codec import decode
from libs.contracts.events import PostDeleted
from libs.contracts.records import EventRecord, Header, encode, pack_headers, unpack_headers
from libs.telemetry.tracing import child_span, remote_span

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARTITION = TopicPartition("posts", 3)


def recorded(post_id: int, trace: str = TRACE, flags: str = "01") -> EventRecord:
    """Return an event that a request recorded, as the relay reads it from the outbox."""
    event = Event(payload=PostDeleted(post_id=post_id, author_id=17), entity=str(post_id), entity_version=2)
    with remote_span("DELETE /v1/posts/{post_id}", SpanKind.SERVER, f"00-{trace}-b7ad6b7169203331-{flags}"):
        record = encode(event, "post")
    stored = unpack_headers(pack_headers(record.headers))
    return EventRecord(record.event_id, record.topic, record.key, record.value, stored, record.created_us)


def received(record: EventRecord, offset: int = 0) -> ReceivedEvent:
    found = decode(record.value)
    assert found is not None
    return ReceivedEvent(found.envelope, found.payload, PARTITION.partition, offset)


class Sender:
    """A producer in place of aiokafka's, whose brokers may confirm nothing."""

    confirms = True

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, *_: object, **__: object) -> Awaitable[Any]:
        result: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.confirms:
            result.set_result(None)
        else:
            result.set_exception(KafkaTimeoutError())
        return result


class Member:
    """A consumer in place of aiokafka's, of one partition."""

    def __init__(self, records: Sequence[ConsumerRecord]) -> None:
        self._records = list(records)
        self.committed = 0

    def subscribe(self, *_: object, **__: object) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def assignment(self) -> set[TopicPartition]:
        return {PARTITION}

    async def getmany(self, *_: object, **__: object) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
        await asyncio.sleep(0)
        records, self._records = self._records, []
        return {PARTITION: records} if records else {}

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.committed = offsets[PARTITION]


def message(value: bytes, headers: Sequence[Header], offset: int) -> ConsumerRecord:
    return ConsumerRecord("posts", PARTITION.partition, offset, 0, 0, b"", value, None, 0, 0, tuple(headers))


async def consumed(handler: Handler, *messages: ConsumerRecord) -> None:
    """Consume the messages until their offsets are committed."""
    settings, member = settings_for(Settings, {}), Member(messages)
    async with EventProducer(settings, "tests", lambda *_: Sender()) as producer:
        runner = ConsumerRunner(settings, "fanout", ["posts"], handler, producer, None, lambda *_: member)
        task = asyncio.create_task(runner.run())

        async def is_done() -> bool:
            return member.committed == len(messages)

        await eventually(is_done)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def ids(context: SpanContext | None) -> tuple[int, int]:
    """The trace and the span; equal for a parent in another process, too."""
    assert context is not None
    return context.trace_id, context.span_id


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


def one(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    (span,) = named(spans, name)
    return span


async def test_what_happens_to_an_event_is_below_its_record(spans: InMemorySpanExporter) -> None:
    record = recorded(1)
    async with EventProducer(settings_for(Settings, {}), "tests", lambda *_: Sender()) as producer:
        await producer.confirm(record, await producer.enqueue(record), "relay")

    async def handle(_: object) -> None:
        with child_span("work", SpanKind.INTERNAL, {}):
            pass

    await consumed(handle, message(record.value, record.headers, 0))
    create, send, process, work = (one(spans, name) for name in ("create posts", "send posts", "process posts", "work"))
    assert [span.kind for span in (create, send, process)] == [SpanKind.PRODUCER, SpanKind.CLIENT, SpanKind.CONSUMER]
    assert ids(send.parent) == ids(create.context)
    assert ids(process.parent) == ids(create.context)
    assert ids(work.parent) == ids(process.context)
    assert process.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "posts",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 0,
        "messaging.consumer.group.name": "fanout",
        "messaging.message.id": str(record.event_id),
        "feedmill.event.type": "post.deleted",
    }


async def test_an_event_that_is_not_sampled_has_no_spans(spans: InMemorySpanExporter) -> None:
    record = recorded(1, flags="00")
    async with EventProducer(settings_for(Settings, {}), "tests", lambda *_: Sender()) as producer:
        await producer.confirm(record, await producer.enqueue(record), "direct")

    async def handle(_: object) -> None:
        with child_span("work", SpanKind.INTERNAL, {}):
            pass

    await consumed(handle, message(record.value, record.headers, 0))
    assert spans.get_finished_spans() == ()


async def test_an_event_that_no_broker_confirms_is_an_error(spans: InMemorySpanExporter) -> None:
    sender, record = Sender(), recorded(1)
    sender.confirms = False
    async with EventProducer(settings_for(Settings, {}), "tests", lambda *_: sender) as producer:
        sent = await producer.enqueue(record)
        with pytest.raises(UnavailableError):
            await producer.confirm(record, sent, "direct")
    send = one(spans, "send posts")
    assert send.status.status_code is StatusCode.ERROR
    assert cast(Mapping[str, object], send.attributes)["error.type"] == "KafkaTimeoutError"


def test_each_sampled_event_of_a_batch_leads_to_the_work(spans: InMemorySpanExporter) -> None:
    traces = [f"{number:032x}" for number in (1, 2, 3)]
    flags = ["00", "01", "01"]
    events = [
        received(recorded(number, trace, flag), number)
        for number, (trace, flag) in enumerate(zip(traces, flags, strict=True))
    ]
    creates = named(spans, "create posts")
    with processing("fanout", events), child_span("work", SpanKind.INTERNAL, {}):
        pass
    work = one(spans, "work")
    batch, other = sorted(named(spans, "process posts"), key=lambda span: ids(span.context))
    assert ids(work.parent) == ids(batch.context)
    assert [ids(span.parent) for span in (batch, other)] == [ids(span.context) for span in creates]
    assert [ids(link.context) for link in batch.links] == [ids(create.context) for create in creates]
    assert [ids(link.context) for link in other.links] == [ids(batch.context)]
    assert cast(Mapping[str, object], batch.attributes)["messaging.batch.message_count"] == 3
    assert "messaging.batch.message_count" not in cast(Mapping[str, object], other.attributes)


def test_a_batch_that_fails_is_an_error_in_each_trace(spans: InMemorySpanExporter) -> None:
    events = [received(recorded(number, f"{number:032x}"), number) for number in (1, 2)]
    with pytest.raises(LookupError), processing("fanout", events):
        raise LookupError
    assert [span.status.status_code for span in named(spans, "process posts")] == [StatusCode.ERROR, StatusCode.ERROR]


async def test_retries_are_seen(spans: InMemorySpanExporter) -> None:
    record, failures = recorded(1), [UnavailableError("away"), UnavailableError("away")]

    async def handle(_: object) -> None:
        if failures:
            raise failures.pop()

    await consumed(handle, message(record.value, record.headers, 0))
    process = one(spans, "process posts")
    assert [event.name for event in process.events] == ["handler_retries"] * 2
    assert process.status.status_code is StatusCode.UNSET


async def test_a_dead_letter_is_an_error(spans: InMemorySpanExporter) -> None:
    record = recorded(1)

    async def handle(_: object) -> None:
        raise LookupError("maria@example.org")

    await consumed(handle, message(record.value, record.headers, 0))
    batch, alone = named(spans, "process posts")  # first all events of the partition, then each
    assert batch.status.status_code is StatusCode.ERROR
    assert alone.status.status_code is StatusCode.ERROR
    assert [event.name for event in alone.events] == ["attempt_failed"] * POISON_ATTEMPTS + ["dead_letter"]
    assert "maria" not in alone.to_json()


async def test_a_message_that_is_no_event_is_an_error(spans: InMemorySpanExporter) -> None:
    async def handle(_: object) -> None:
        raise AssertionError

    await consumed(handle, message(b"{", recorded(1).headers, 0))
    process = one(spans, "process posts")
    assert ids(process.parent) == ids(one(spans, "create posts").context)
    assert cast(Mapping[str, object], process.attributes)["error.type"] == "UndecodableError"
