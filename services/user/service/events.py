"""The records of this service's events."""

from collections.abc import Callable
from datetime import datetime

from libs.common.contracts.base import Event
from libs.common.contracts.events import FollowEvent, UserEvent
from libs.common.kafka.producer import Record, encode
from services.user.domain.people import Edge
from services.user.ports import MakeRecord

PRODUCER = "services.user"
Clock = Callable[[], datetime]


def micros(at: datetime) -> int:
    """Microseconds since the Unix epoch: an entity version that grows with time."""
    return int(at.timestamp() * 1_000_000)


def user_record(kind: type[UserEvent], user_id: int, version: int) -> Record:
    """Something happened to an account."""
    return encode(Event(payload=kind(user_id=user_id), entity=str(user_id), entity_version=version), PRODUCER)


def edge_record(kind: type[FollowEvent], edge: Edge) -> MakeRecord:
    """Something happened to an edge, at the version that the store gives out."""

    def at(version: int) -> Record:
        payload = kind(follower_id=edge.follower_id, followee_id=edge.followee_id)
        return encode(Event(payload=payload, entity=edge.entity, entity_version=version), PRODUCER)

    return at
