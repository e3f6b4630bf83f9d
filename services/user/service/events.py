"""The records of this service's events."""

from collections.abc import Callable
from datetime import datetime

from libs.common.kafka.producer import Record, encode
from libs.contracts.base import Event
from libs.contracts.events import GraphEvent, UserEvent
from services.user.domain.people import Edge

PRODUCER = "services.user"
Clock = Callable[[], datetime]


def micros(at: datetime) -> int:
    """Microseconds since the Unix epoch: an entity version that grows with time."""
    return int(at.timestamp() * 1_000_000)


def user_record(kind: type[UserEvent], user_id: int, version: int) -> Record:
    """Something happened to an account."""
    return encode(Event(payload=kind(user_id=user_id), entity=str(user_id), entity_version=version), PRODUCER)


def edge_record(kind: type[GraphEvent], edge: Edge, version: int) -> Record:
    """Something happened to an edge."""
    payload = kind.model_validate(dict(zip(kind.model_fields, (edge.from_id, edge.to_id), strict=True)))
    return encode(Event(payload=payload, entity=edge.entity, entity_version=version), PRODUCER)
