"""The envelope around every event."""

from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, ClassVar
from uuid import NAMESPACE_OID, UUID, uuid5

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from libs.common.core.ids import MAX_ID, parse_id


def utc_now() -> datetime:
    """The current time, in UTC."""
    return datetime.now(UTC)


def _parse(value: object) -> object:
    return int(value) if isinstance(value, str) and parse_id(value) is not None else value


Id = Annotated[
    int,
    BeforeValidator(_parse),
    Field(strict=True, ge=0, le=MAX_ID),
    PlainSerializer(str, return_type=str, when_used="json"),
]
"""An id: an integer in Python and in stores, a decimal string in JSON, because a double is not precise enough."""


def rfc3339(value: datetime) -> str:
    """The text of a `Timestamp`."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Timestamp = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
"""RFC 3339, UTC, milliseconds, with Z."""


class Payload(BaseModel):
    """The `data` of one event type. Subclasses define type, topic and schema version."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: ClassVar[str]
    topic: ClassVar[str]
    version: ClassVar[int] = 1

    def key(self) -> str:
        """The Kafka message key. Events with the same key stay in order."""
        raise NotImplementedError


class Envelope(BaseModel):
    """An event as stored in a topic. It has ids but no personal data, so erasing a user does not change topics."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event_id: UUID
    type: str
    version: int = Field(ge=1)
    entity_version: int = Field(ge=0)
    occurred_at: Timestamp
    producer: str
    trace: str | None = None
    data: dict[str, Any]

    def encode(self) -> bytes:
        """The JSON bytes of the Kafka message."""
        return orjson.dumps(self.model_dump(mode="json"))


class Event(BaseModel):
    """An event without its envelope: a payload, and the version of the changed entity.

    The id is derived from type, entity and version, so that an event published twice has the same id.
    """

    model_config = ConfigDict(frozen=True)

    payload: Payload
    entity: str
    entity_version: int
    occurred_at: datetime = Field(default_factory=utc_now)

    @cached_property
    def event_id(self) -> UUID:
        """The id, which is the same for each publication of this event."""
        return uuid5(NAMESPACE_OID, f"{self.payload.type}:{self.entity}:{self.entity_version}")

    def envelope(self, producer: str, trace: str | None = None) -> Envelope:
        """The envelope of this event, with the producing deployable's name and the W3C trace header."""
        return Envelope.model_construct(  # its parts are valid
            event_id=self.event_id,
            type=self.payload.type,
            version=self.payload.version,
            entity_version=self.entity_version,
            occurred_at=self.occurred_at,
            producer=producer,
            trace=trace,
            data=self.payload.model_dump(mode="json"),
        )
