"""The outbox table in PostgreSQL."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from libs.common.stores.postgres import Connection, Postgres
from libs.contracts.records import EventRecord, pack_headers, unpack_headers


class PostgresOutbox:
    """Implements `libs.common.kafka.outbox.OutboxStore`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    @staticmethod
    async def insert(connection: Connection, records: Sequence[EventRecord]) -> None:
        """Insert the records within the caller's transaction."""
        sql = "INSERT INTO outbox (event_id, topic, key, value, headers, created_at) VALUES ($1, $2, $3, $4, $5, $6)"
        rows = [
            (r.event_id, r.topic, r.key, r.value, pack_headers(r.headers), _time(r.created_us / 1_000_000))
            for r in records
        ]
        await connection.executemany(sql, rows)

    async def lead(self) -> bool:
        return True  # all processes relay; consumers ignore an event that is published twice

    async def oldest(self, limit: int, grace_s: float) -> list[EventRecord]:
        sql = (
            "SELECT event_id, topic, key, value, headers, created_at FROM outbox"
            " WHERE created_at <= $2 ORDER BY sequence LIMIT $1"
        )
        rows = await self._postgres.fetch(sql, limit, _time(time.time() - grace_s))
        return [
            EventRecord(
                row["event_id"],
                row["topic"],
                row["key"],
                row["value"],
                unpack_headers(row["headers"]),
                int(row["created_at"].timestamp() * 1_000_000),
            )
            for row in rows
        ]

    async def size(self, limit: int) -> int:
        row: Any = await self._postgres.fetchrow("SELECT count(*) FROM (SELECT FROM outbox LIMIT $1) waiting", limit)
        return int(row[0])

    async def delete(self, records: Sequence[EventRecord]) -> None:
        ids = [record.event_id for record in records]
        await self._postgres.execute("DELETE FROM outbox WHERE event_id = ANY($1)", ids)


def _time(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
