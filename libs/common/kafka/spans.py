"""Spans of events (ADR 26). The parent of each is the span `create` of the event, however much later it begins."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry.trace import Link, Span, SpanKind

from libs.contracts.records import EventRecord, Header, messaging_attributes
from libs.telemetry.tracing import (
    Attributes,
    Spanned,
    end,
    is_sampled_parent,
    remote_context,
    remote_span,
    start_remote,
)

if TYPE_CHECKING:
    from libs.common.kafka.consumer import ReceivedEvent


def send_span(record: EventRecord) -> Span | None:
    """Begin the span of publishing a record; None if its trace is not sampled."""
    parent = _traceparent(record.headers)
    if not is_sampled_parent(parent):
        return None
    attributes = messaging_attributes("send", record.topic, record.event_id, _header(record.headers, "type") or "")
    # Not a PRODUCER: the message does not have the context of this span, which a crash may repeat.
    return start_remote(f"send {record.topic}", SpanKind.CLIENT, parent, attributes)


@contextmanager
def processing(group: str, events: Sequence["ReceivedEvent"]) -> Iterator[None]:
    """Have the work in the block in a span of handling these events of one topic.

    A batch is handled once. So its span is in the trace of its first sampled event, and links to all that are sampled.
    Each of the others has a span in its own trace that links to it.
    """
    sampled = [event for event in events if is_sampled_parent(event.envelope.trace)]
    first = sampled[0] if sampled else events[0]
    name = f"process {first.payload.topic}"
    links = _links(sampled) if len(events) > 1 else []
    with remote_span(name, SpanKind.CONSUMER, first.envelope.trace, links=links) as span:
        if span.is_recording():
            span.set_attributes(_of_batch(group, events) if len(events) > 1 else _of_one(group, first))
        to_span = [Link(span.get_span_context())]
        others = [
            start_remote(name, SpanKind.CONSUMER, event.envelope.trace, _of_one(group, event), to_span)
            for event in sampled[1:]
        ]
        error: BaseException | None = None
        try:
            yield
        except BaseException as caught:
            error = caught
            raise
        finally:
            for other in others:
                end(other, error)


def processing_undecodable(group: str, topic: str, headers: Sequence[Header]) -> Spanned:
    """Return the span of a message that is no event, to enter."""
    attributes = {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": topic,
        "messaging.consumer.group.name": group,
    }
    return remote_span(f"process {topic}", SpanKind.CONSUMER, _traceparent(headers), attributes)


def _of_one(group: str, event: "ReceivedEvent") -> Attributes:
    return {
        **messaging_attributes("process", event.payload.topic, event.envelope.event_id, event.payload.type),
        "messaging.consumer.group.name": group,
        "messaging.destination.partition.id": str(event.partition),
        "messaging.kafka.offset": event.offset,
    }


def _of_batch(group: str, events: Sequence["ReceivedEvent"]) -> Attributes:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": events[0].payload.topic,
        "messaging.consumer.group.name": group,
        "messaging.batch.message_count": len(events),
    }


def _links(events: Sequence["ReceivedEvent"]) -> list[Link]:
    found = [(event, remote_context(event.envelope.trace)) for event in events]
    return [Link(to, {"messaging.message.id": str(event.envelope.event_id)}) for event, to in found if to is not None]


def _traceparent(headers: Sequence[Header]) -> str | None:
    return _header(headers, "traceparent")


def _header(headers: Sequence[Header], wanted: str) -> str | None:
    return next((value.decode("latin-1") for name, value in headers if name == wanted), None)
