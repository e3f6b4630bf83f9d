"""Tables that every keyspace with writes of its own has: outbox, id leases, idempotency keys."""

import time
from collections.abc import Callable, Sequence
from typing import Self
from uuid import UUID, uuid4

import orjson
from cassandra.query import PreparedStatement

from libs.common.kafka.producer import Record
from libs.common.runtime.errors import UnavailableError
from libs.common.stores.cassandra import Bound, Cassandra, Row

SHARDS = 4
LEASE_S = 15
US_A_MINUTE = 60_000_000
US_AN_HOUR = 60 * US_A_MINUTE
LATE_US = 10 * US_A_MINUTE  # a write may arrive so long after its time: retries, and a clock that is behind


def _place(record: Record) -> tuple[int, int, int, UUID]:
    """Shard, hour, time and id: the primary key of a record."""
    return record.event_id.int % SHARDS, record.created_us // US_AN_HOUR, record.created_us, record.event_id


def _pack(headers: Sequence[tuple[str, bytes]]) -> bytes:
    return orjson.dumps([[name, value.decode()] for name, value in headers])


def _unpack(raw: bytes) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, value.encode()) for name, value in orjson.loads(raw))


class CassandraOutbox:
    """An outbox in a keyspace; implements `libs.common.kafka.outbox.OutboxStore`."""

    def __init__(self, cassandra: Cassandra, clock: Callable[[], float]) -> None:
        self._cassandra = cassandra
        self._clock = clock
        self._holder = uuid4().hex
        self._answers_since_us: int | None = None

    @classmethod
    async def open(cls, cassandra: Cassandra, clock: Callable[[], float] = time.time) -> Self:
        """Prepare the statements."""
        outbox = cls(cassandra, clock)
        prepare = cassandra.prepare
        outbox._insert = await prepare(
            "INSERT INTO outbox (shard, hour, created_us, event_id, topic, key, value, headers)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        outbox._delete = await prepare(
            "DELETE FROM outbox WHERE shard = ? AND hour = ? AND created_us = ? AND event_id = ?"
        )
        outbox._read = await prepare(
            "SELECT * FROM outbox WHERE shard = ? AND hour = ? AND created_us >= ? AND created_us < ? LIMIT ?"
        )
        outbox._ids = await prepare(
            "SELECT event_id FROM outbox WHERE shard = ? AND hour = ? AND created_us >= ? LIMIT ?"
        )
        outbox._progress = await prepare("SELECT hour, done_us FROM outbox_progress WHERE shard = ?")
        outbox._advance = await prepare("INSERT INTO outbox_progress (shard, hour) VALUES (?, ?)")
        outbox._done = await prepare("INSERT INTO outbox_progress (shard, done_us) VALUES (?, ?)")
        outbox._take = await prepare(
            f"INSERT INTO leases (name, holder) VALUES ('relay', ?) IF NOT EXISTS USING TTL {LEASE_S}", idempotent=False
        )
        outbox._keep = await prepare(
            f"UPDATE leases USING TTL {LEASE_S} SET holder = ? WHERE name = 'relay' IF holder = ?", idempotent=False
        )
        return outbox

    _insert: PreparedStatement
    _delete: PreparedStatement
    _read: PreparedStatement
    _ids: PreparedStatement
    _progress: PreparedStatement
    _advance: PreparedStatement
    _done: PreparedStatement
    _take: PreparedStatement
    _keep: PreparedStatement

    def inserts(self, records: Sequence[Record]) -> list[Bound]:
        """The statements that put `records` into the outbox; for the batch that holds the change itself."""
        return [
            (self._insert, (*_place(record), record.topic, record.key, record.value, _pack(record.headers)))
            for record in records
        ]

    async def lead(self) -> bool:
        """Hold or take the relay's lease. Two leaders for a moment only publish something twice."""
        if await self._cassandra.applied(self._keep, (self._holder, self._holder)):
            return True
        return await self._cassandra.applied(self._take, (self._holder,))

    async def oldest(self, limit: int, grace_s: float) -> list[Record]:
        """Records older than the grace, oldest first; those of one hour, as a shard may have more in it than was read.

        Rows that were deleted up to 11 minutes ago are read through; Cassandra refuses at 100,000 of a partition, which
        is 600 events a second.
        """
        before_us = int((self._clock() - grace_s) * 1_000_000)
        if self._answers_since_us is None:
            self._answers_since_us = before_us
        rows: list[Row] = []
        try:
            for shard in range(SHARDS):
                rows += await self._oldest_of(shard, before_us, limit)
        except UnavailableError:
            self._answers_since_us = None
            raise
        rows.sort(key=lambda row: row.created_us)
        rows = [row for row in rows[:limit] if row.hour == rows[0].hour]
        return [Record(r.event_id, r.topic, r.key, r.value, _unpack(r.headers), r.created_us) for r in rows]

    async def _oldest_of(self, shard: int, before_us: int, limit: int) -> list[Row]:
        current = before_us // US_AN_HOUR
        row = await self._cassandra.one(self._progress, (shard,))
        if row is None:
            await self._cassandra.execute(self._advance, (shard, current - 1))
        hour: int = row.hour if row else current - 1
        done_us: int = (row and row.done_us) or 0
        rows: list[Row] = []
        while hour <= current:
            rows = await self._cassandra.execute(self._read, (shard, hour, done_us, before_us, limit))
            if rows:
                break
            hour += 1
            if hour < current:  # a slow writer may still fill the hour before this one
                await self._cassandra.execute(self._advance, (shard, hour))
        await self._keep_done(shard, done_us, before_us, rows)
        return rows

    async def _keep_done(self, shard: int, done_us: int, before_us: int, rows: Sequence[Row]) -> None:
        """Not soon after an outage: Cassandra may yet write what it took before."""
        if self._answers_since_us is None or before_us - self._answers_since_us < LATE_US:
            return
        reached_us = min([before_us - LATE_US, *(row.created_us for row in rows[:1])])
        if reached_us - done_us > US_A_MINUTE:
            await self._cassandra.execute(self._done, (shard, reached_us))

    async def size(self, limit: int) -> int:
        """How many records wait; no partition is read further than to `limit`."""
        current, found = int(self._clock() * 1_000_000) // US_AN_HOUR, 0
        for shard in range(SHARDS):
            row = await self._cassandra.one(self._progress, (shard,))
            done_us = (row and row.done_us) or 0
            for hour in range(row.hour if row else current, current + 1):
                found += len(await self._cassandra.execute(self._ids, (shard, hour, done_us, limit)))
                if found >= limit:
                    return found
        return found

    async def delete(self, record: Record) -> None:
        """Forget a published record."""
        await self._cassandra.execute(self._delete, _place(record))


class CassandraNodeLeases:
    """Id node leases; implements `libs.common.ids.NodeLeaseStore`."""

    def __init__(
        self, cassandra: Cassandra, read: PreparedStatement, first: PreparedStatement, more: PreparedStatement
    ) -> None:
        self._cassandra, self._read, self._first, self._more = cassandra, read, first, more

    @classmethod
    async def open(cls, cassandra: Cassandra) -> Self:
        """Prepare the statements."""
        return cls(
            cassandra,
            await cassandra.prepare("SELECT until_ms FROM id_nodes WHERE node = ?"),
            await cassandra.prepare(
                "INSERT INTO id_nodes (node, until_ms) VALUES (?, ?) IF NOT EXISTS", idempotent=False
            ),
            await cassandra.prepare(
                "UPDATE id_nodes SET until_ms = ? WHERE node = ? IF until_ms = ?", idempotent=False
            ),
        )

    async def until_ms(self, node: int) -> int | None:
        row = await self._cassandra.one(self._read, (node,))
        return row.until_ms if row else None

    async def extend(self, node: int, seen_until_ms: int | None, until_ms: int) -> bool:
        if seen_until_ms is None:
            return await self._cassandra.applied(self._first, (node, until_ms))
        return await self._cassandra.applied(self._more, (until_ms, node, seen_until_ms))
