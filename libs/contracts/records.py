"""Encoding of events."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import orjson
from opentelemetry.trace import SpanKind

from libs.contracts.base import Event, Payload
from libs.telemetry.tracing import Attributes, child_span, is_sampled, traceparent

Header = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An encoded event for an outbox or a topic; `topic` is without namespace.

    `created_us` is in microseconds since the Unix epoch, and part of the outbox's key. `payload` is None for a record
    that was read from an outbox.
    """

    event_id: UUID
    topic: str
    key: str
    value: bytes
    headers: tuple[Header, ...]
    created_us: int
    payload: Payload | None = field(default=None, compare=False)


def encode(event: Event, producer: str) -> EventRecord:
    """Encode `event` with the current trace; `producer` is the deployable's name.

    In a sampled trace, a span `create` of its own is the parent of all that happens to the event later.
    """
    topic, kind = event.payload.topic, event.payload.type
    attributes = messaging_attributes("create", topic, event.event_id, kind) if is_sampled() else {}
    with child_span(f"create {topic}", SpanKind.PRODUCER, attributes):
        trace = traceparent()
    envelope = event.envelope(producer, trace)
    headers = [("type", envelope.type.encode()), ("version", str(envelope.version).encode())]
    if trace:
        headers.append(("traceparent", trace.encode()))
    return EventRecord(
        event.event_id,
        event.payload.topic,
        event.payload.key(),
        envelope.encode(),
        tuple(headers),
        time.time_ns() // 1_000,
        event.payload,
    )


def messaging_attributes(operation: str, topic: str, event_id: UUID, event_type: str) -> Attributes:
    """The attributes of a span about one event; `operation` is create, send or process."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
        "messaging.message.id": str(event_id),
        "feedmill.event.type": event_type,
    }


class EventOutbox(Protocol):
    """Publishes events of use cases: they are stored together with the change, and published after the commit."""

    def record(self, payload: Payload, entity: object, version: int) -> EventRecord:
        """Encode an event of version `version` of `entity`; store it with the change itself."""

    async def committed(self, records: Sequence[EventRecord]) -> None:
        """Publish stored events in the background. On return, cached values that they invalidate are not shown."""


def pack_headers(headers: Sequence[Header]) -> bytes:
    """Headers as JSON, for the outbox table."""
    return orjson.dumps([[name, value.decode()] for name, value in headers])


def unpack_headers(raw: bytes) -> tuple[Header, ...]:
    """Return the headers that `pack_headers` encoded."""
    return tuple((name, value.encode()) for name, value in orjson.loads(raw))
