"""Tables that every keyspace with writes of its own has: outbox, id leases, idempotency keys."""

import time
from collections.abc import Callable, Sequence
from typing import Self
from uuid import UUID, uuid4

import orjson
from cassandra.query import PreparedStatement

from libs.common.core.errors import UnavailableError
from libs.common.kafka.producer import Record
from libs.common.stores.cassandra import Bound, Cassandra, Row

SHARDS = 4
LEASE_S = 5  # it is renewed each second; while nobody has it, nobody relays
US_A_MINUTE = 60_000_000
US_AN_HOUR = 60 * US_A_MINUTE
LATE_US = 10 * US_A_MINUTE  # a write may arrive so long after its time: retries, and a clock that is behind
SOON_US = 30_000_000  # most do within this; what comes later is found once a minute


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
        self._thorough_us = 0
        self._waits_from_us: dict[int, int] = {}

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
            "SELECT event_id FROM outbox WHERE shard = ? AND hour = ? AND created_us >= ? AND created_us < ? LIMIT ?"
        )
        outbox._progress = await prepare("SELECT hour, done_us FROM outbox_progress WHERE shard = ?")
        outbox._advance = await prepare("INSERT INTO outbox_progress (shard, hour, done_us) VALUES (?, ?, ?)")
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
        """Records older than the grace, oldest first; one written long after its time is seen a minute later."""
        before_us = int((self._clock() - grace_s) * 1_000_000)
        if self._answers_since_us is None:
            self._answers_since_us = before_us
        is_thorough = before_us - self._thorough_us >= US_A_MINUTE
        rows: list[Row] = []
        try:
            for shard in range(SHARDS):
                rows += await self._oldest_of(shard, before_us, limit, is_thorough)
        except UnavailableError:
            self._answers_since_us = None
            raise
        if is_thorough:
            self._thorough_us = before_us
        rows.sort(key=lambda row: row.created_us)
        return [Record(r.event_id, r.topic, r.key, r.value, _unpack(r.headers), r.created_us) for r in rows[:limit]]

    async def _oldest_of(self, shard: int, before_us: int, limit: int, is_thorough: bool) -> list[Row]:
        """All that waits is after the mark; nearly all is after what waited first when it was last looked for."""
        from_us = await self._done_us(shard, before_us) if is_thorough else self._waits_from_us[shard] - SOON_US
        rows = await self._span(self._read, shard, from_us, before_us, limit)
        if is_thorough:
            await self._keep_done(shard, from_us, before_us, rows)
        self._waits_from_us[shard] = rows[0].created_us if rows else before_us
        return rows

    async def _done_us(self, shard: int, before_us: int) -> int:
        row = await self._cassandra.one(self._progress, (shard,))
        if row is None:
            await self._advance_to(shard, before_us - US_AN_HOUR)
            return before_us - US_AN_HOUR
        return int(row.hour * US_AN_HOUR if row.done_us is None else row.done_us)

    async def _advance_to(self, shard: int, done_us: int) -> None:
        """The hour as well, without which a process of the release before fails."""
        await self._cassandra.execute(self._advance, (shard, done_us // US_AN_HOUR, done_us))

    async def _span(
        self, statement: PreparedStatement, shard: int, from_us: int, before_us: int, limit: int
    ) -> list[Row]:
        """The oldest rows from a moment on.

        A minute at a time, as Cassandra refuses to read past 100,000 deleted ones: those of 6,600 events a second.
        """
        rows: list[Row] = []
        while from_us < before_us and len(rows) < limit:
            until_us = min(from_us - from_us % US_A_MINUTE + US_A_MINUTE, before_us)
            place = (shard, from_us // US_AN_HOUR, from_us, until_us, limit - len(rows))
            rows += await self._cassandra.execute(statement, place)
            from_us = until_us
        return rows

    async def _keep_done(self, shard: int, done_us: int, before_us: int, rows: Sequence[Row]) -> None:
        """Not soon after an outage: Cassandra may yet write what it took before."""
        if self._answers_since_us is None or before_us - self._answers_since_us < LATE_US:
            return
        reached_us = min([before_us - LATE_US, *(row.created_us for row in rows[:1])])
        if reached_us > done_us:
            await self._advance_to(shard, reached_us)

    async def size(self, limit: int) -> int:
        """How many records wait, of what `oldest` looks at each time."""
        now_us, found = int(self._clock() * 1_000_000), 0
        for shard, waits_from_us in self._waits_from_us.items():
            found += len(await self._span(self._ids, shard, waits_from_us - SOON_US, now_us, limit - found))
        return found

    async def delete(self, record: Record) -> None:
        """Forget a published record."""
        await self._cassandra.execute(self._delete, _place(record))


class CassandraNodeLeases:
    """Id node leases; implements `libs.common.core.ids.NodeLeaseStore`."""

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
