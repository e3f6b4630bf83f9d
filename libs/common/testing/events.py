"""A fake of the event outbox."""

from collections.abc import Sequence

from libs.contracts.base import Event, Payload
from libs.contracts.records import EventRecord, encode


class CollectedEvents:
    """Implements `libs.contracts.records.EventOutbox`; collects committed events."""

    def __init__(self) -> None:
        self.records: list[EventRecord] = []

    def record(self, payload: Payload, entity: object, version: int) -> EventRecord:
        return encode(Event(payload=payload, entity=str(entity), entity_version=version), "tests")

    async def committed(self, records: Sequence[EventRecord]) -> None:
        self.records += records

    def types(self) -> list[str]:
        return [dict(record.headers)["type"].decode() for record in self.records]
