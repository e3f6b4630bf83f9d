"""Event records and the clock of the use cases."""

from collections.abc import Callable
from datetime import datetime

from libs.contracts.events import GraphEvent
from libs.contracts.records import EventOutbox, EventRecord
from services.user.domain.people import Edge
from services.user.ports import EdgeRecord

Clock = Callable[[], datetime]


def micros(at: datetime) -> int:
    """Microseconds since the Unix epoch: an entity version that grows with time."""
    return int(at.timestamp() * 1_000_000)


def edge_records(outbox: EventOutbox) -> EdgeRecord:
    """Return a function that builds events of edges. The fields of such an event are the two ends, in order."""

    def record(kind: type[GraphEvent], edge: Edge, version: int) -> EventRecord:
        payload = kind.model_validate(dict(zip(kind.model_fields, (edge.from_id, edge.to_id), strict=True)))
        return outbox.record(payload, edge.entity, version)

    return record
