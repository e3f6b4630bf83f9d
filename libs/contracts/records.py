"""Encoding of events."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import orjson

from libs.common.core.context import traceparent
from libs.contracts.base import Event, Payload

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
    """Encode `event` with the current trace; `producer` is the deployable's name."""
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
