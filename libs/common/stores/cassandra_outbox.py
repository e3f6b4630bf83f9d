"""The outbox table in Cassandra."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

from libs.common.core.errors import UnavailableError
from libs.common.stores.cassandra import Bound, Cassandra, CassandraStore, Row
from libs.contracts.records import EventRecord, pack_headers, unpack_headers

SHARDS = 4
DELETES_A_BATCH = 50  # below 5 KB, from which Cassandra warns of a large batch
LEASE_S = 5  # the relay renews it each second; while no process holds it, none relays
US_A_MINUTE = 60_000_000
US_AN_HOUR = 60 * US_A_MINUTE
LATE_US = 10 * US_A_MINUTE  # a write may arrive this long after its timestamp: retries, or a clock that is slow
SOON_US = 30_000_000  # most writes arrive within this time; a full scan finds later ones


def _key(record: EventRecord) -> tuple[int, int, int, UUID]:
    """The primary key: shard, hour, time, id."""
    return record.event_id.int % SHARDS, record.created_us // US_AN_HOUR, record.created_us, record.event_id


class CassandraOutbox(CassandraStore):
    """Implements `libs.common.kafka.outbox.OutboxStore`.

    Records are in four shards, in order of time. Each read begins a little before the oldest record that waited at the
    last read. Once a minute a full scan begins at the stored progress of the shard instead, and advances it.
    """

    cql = {
        "insert": (
            "INSERT INTO outbox (shard, hour, created_us, event_id, topic, key, value, headers)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        ),
        "delete": "DELETE FROM outbox WHERE shard = ? AND hour = ? AND created_us = ? AND event_id = ?",
        "read": "SELECT * FROM outbox WHERE shard = ? AND hour = ? AND created_us >= ? AND created_us < ? LIMIT ?",
        "ids": (
            "SELECT event_id FROM outbox WHERE shard = ? AND hour = ? AND created_us >= ? AND created_us < ? LIMIT ?"
        ),
        "progress": "SELECT hour, done_us FROM outbox_progress WHERE shard = ?",
        "set_progress": "INSERT INTO outbox_progress (shard, hour, done_us) VALUES (?, ?, ?)",
        "take_lease": f"INSERT INTO leases (name, holder) VALUES ('relay', ?) IF NOT EXISTS USING TTL {LEASE_S}",
        "renew_lease": f"UPDATE leases USING TTL {LEASE_S} SET holder = ? WHERE name = 'relay' IF holder = ?",
    }

    def __init__(self, cassandra: Cassandra, clock: Callable[[], float] = time.time) -> None:
        super().__init__(cassandra)
        self._clock = clock
        self._holder = uuid4().hex
        self._no_failure_since_us: int | None = None
        self._last_full_scan_us = 0
        self._oldest_us: dict[int, int] = {}
        """By shard: the oldest record that waited at the last read, or the end of that read."""

    def inserts(self, records: Sequence[EventRecord]) -> list[Bound]:
        """The statements that insert `records`, for the logged batch that holds the change itself."""
        return [
            self._bound("insert", *_key(record), record.topic, record.key, record.value, pack_headers(record.headers))
            for record in records
        ]

    async def lead(self) -> bool:
        """Renew or take the lease. Two leaders for a moment only publish some events twice."""
        return await self._applied("renew_lease", self._holder, self._holder) or await self._applied(
            "take_lease", self._holder
        )

    async def oldest(self, limit: int, grace_s: float) -> list[EventRecord]:
        """Records older than `grace_s`, oldest first. A record that arrives late is found within a minute."""
        before_us = int((self._clock() - grace_s) * 1_000_000)
        if self._no_failure_since_us is None:
            self._no_failure_since_us = before_us
        full = before_us - self._last_full_scan_us >= US_A_MINUTE
        rows: list[Row] = []
        try:
            for shard in range(SHARDS):
                rows += await self._oldest_of(shard, before_us, limit, full=full)
        except UnavailableError:
            self._no_failure_since_us = None
            raise
        if full:
            self._last_full_scan_us = before_us
        rows.sort(key=lambda row: row.created_us)
        return [
            EventRecord(r.event_id, r.topic, r.key, r.value, unpack_headers(r.headers), r.created_us)
            for r in rows[:limit]
        ]

    async def _oldest_of(self, shard: int, before_us: int, limit: int, *, full: bool) -> list[Row]:
        from_us = await self._progress_us(shard, before_us) if full else self._oldest_us[shard] - SOON_US
        rows = await self._range("read", shard, from_us, before_us, limit)
        if full:
            await self._move_progress(shard, from_us, before_us, rows)
        self._oldest_us[shard] = rows[0].created_us if rows else before_us
        return rows

    async def _progress_us(self, shard: int, before_us: int) -> int:
        row = await self._row("progress", shard)
        if row is None:
            await self._set_progress(shard, before_us - US_AN_HOUR)
            return before_us - US_AN_HOUR
        return int(row.hour * US_AN_HOUR if row.done_us is None else row.done_us)

    async def _move_progress(self, shard: int, done_us: int, before_us: int, rows: Sequence[Row]) -> None:
        """Store the progress, but not within 10 minutes of a failure: Cassandra may still apply earlier writes."""
        if self._no_failure_since_us is None or before_us - self._no_failure_since_us < LATE_US:
            return
        reached_us = min([before_us - LATE_US, *(row.created_us for row in rows[:1])])
        if reached_us > done_us:
            await self._set_progress(shard, reached_us)

    async def _set_progress(self, shard: int, done_us: int) -> None:
        # The previous release still needs the hour.
        await self._rows("set_progress", shard, done_us // US_AN_HOUR, done_us)

    async def _range(self, statement: str, shard: int, from_us: int, before_us: int, limit: int) -> list[Row]:
        """The oldest rows in `[from_us, before_us)`.

        Each read covers one minute, because Cassandra refuses reads over 100,000 tombstones. In four shards a minute
        has fewer below 6,600 events per second.
        """
        rows: list[Row] = []
        while from_us < before_us and len(rows) < limit:
            until_us = min(from_us - from_us % US_A_MINUTE + US_A_MINUTE, before_us)
            rows += await self._rows(statement, shard, from_us // US_AN_HOUR, from_us, until_us, limit - len(rows))
            from_us = until_us
        return rows

    async def size(self, limit: int) -> int:
        # The range that `oldest` reads in each call.
        now_us, found = int(self._clock() * 1_000_000), 0
        for shard, oldest_us in self._oldest_us.items():
            found += len(await self._range("ids", shard, oldest_us - SOON_US, now_us, limit - found))
        return found

    async def delete(self, records: Sequence[EventRecord]) -> None:
        partitions = defaultdict[tuple[int, int], list[Bound]](list)
        for record in records:
            shard, hour, *place = _key(record)
            partitions[shard, hour].append(self._bound("delete", shard, hour, *place))
        batches = (
            rows[start : start + DELETES_A_BATCH]
            for rows in partitions.values()
            for start in range(0, len(rows), DELETES_A_BATCH)
        )
        await asyncio.gather(*(self._cassandra.batch(batch, logged=False) for batch in batches))


class EventWritingStore(CassandraStore):
    """Base of adapters that write rows and the events about them in one logged batch."""

    def __init__(self, cassandra: Cassandra, outbox: CassandraOutbox) -> None:
        super().__init__(cassandra)
        self._outbox = outbox

    async def _write(self, statements: Sequence[Bound], events: Sequence[EventRecord]) -> None:
        await self._cassandra.batch([*statements, *self._outbox.inserts(events)])

    async def record(self, events: Sequence[EventRecord]) -> None:
        """Write events without changing any other row."""
        await self._write([], events)
