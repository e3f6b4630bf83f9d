"""The follow graph in PostgreSQL."""

import random
from datetime import datetime
from itertools import pairwise

from libs.common.kafka.producer import Record
from libs.common.stores.postgres import Connection, Postgres, PostgresOutbox
from services.user.domain.people import Audience, Edge, Followees, Mode
from services.user.ports import MakeRecord
from services.user.stores.retries import retried

SLOTS = 16  # a celebrity's followers come through so many rows side by side

_INSERT = (
    "INSERT INTO follows (follower_id, followee_id, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1"
)
_DELETE = "DELETE FROM follows WHERE follower_id = $1 AND followee_id = $2 RETURNING 1"
# Rows are locked in the order of the arrays, which is that of (user_id, slot) for everyone: no deadlock.
_COUNT = """
INSERT INTO user_counts (user_id, slot, followers, following, version)
SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[])
ON CONFLICT (user_id, slot) DO UPDATE SET
    followers = user_counts.followers + excluded.followers,
    following = user_counts.following + excluded.following,
    version = greatest(user_counts.version + 1, excluded.version)
RETURNING user_id, version
"""
_AUDIENCE = """
SELECT mode, mode_version,
    (SELECT coalesce(sum(followers), 0)::bigint FROM user_counts c WHERE c.user_id = u.user_id) AS follower_count
FROM users u WHERE user_id = $1
"""
_SET_MODE = """
UPDATE users SET mode = $3, mode_version = mode_version + 1,
    left_pull_at = CASE WHEN mode = 'pull' THEN $4 ELSE left_pull_at END
WHERE user_id = $1 AND mode_version = $2 RETURNING 1
"""
_FOLLOWERS = """
SELECT array(SELECT follower_id FROM follows WHERE followee_id = $1 AND ($2::bigint IS NULL OR follower_id < $2)
    ORDER BY follower_id DESC LIMIT $3) AS ids
"""
_FOLLOWING = """
SELECT array(SELECT followee_id FROM follows WHERE follower_id = $1 AND ($2::bigint IS NULL OR followee_id < $2)
    ORDER BY followee_id DESC LIMIT $3) AS ids
"""
_MUTUALS = """
SELECT array(SELECT mine.followee_id FROM follows mine
    JOIN follows theirs ON theirs.follower_id = mine.followee_id AND theirs.followee_id = $1
    WHERE mine.follower_id = $4 AND ($2::bigint IS NULL OR mine.followee_id < $2)
    ORDER BY mine.followee_id DESC LIMIT $3) AS ids
"""
_ENDS_OF_RANGES = """
SELECT follower_id FROM (
    SELECT follower_id, row_number() OVER (ORDER BY follower_id) AS nth, count(*) OVER () AS total
    FROM follows WHERE followee_id = $1
) numbered WHERE nth % $2 = 0 OR nth = total ORDER BY follower_id
"""
_FOLLOWER_IDS = """
SELECT array_agg(follower_id ORDER BY follower_id) AS ids FROM (
    SELECT follower_id FROM follows WHERE followee_id = $1 AND follower_id > $2 AND follower_id <= $3
    ORDER BY follower_id LIMIT $4) page
"""
_FOLLOWEES = """
SELECT array_agg(followee_id) AS ids, array_agg(followee_id) FILTER (WHERE mode = 'pull' OR left_pull_at > $2) AS pull
FROM follows JOIN users ON user_id = followee_id WHERE follower_id = $1
"""


class PostgresGraphStore:
    """Implements `ports.GraphStore`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def add(self, edge: Edge, now: datetime, record: MakeRecord) -> list[Record]:
        """See the port."""
        return await retried(lambda: self._add(edge, now, record))

    async def remove(self, edge: Edge, now: datetime, record: MakeRecord) -> list[Record]:
        """See the port."""
        return await retried(lambda: self._remove(edge, now, record))

    async def _add(self, edge: Edge, now: datetime, record: MakeRecord) -> list[Record]:
        async with self._postgres.transaction() as connection:
            if not await connection.fetchval(_INSERT, edge.follower_id, edge.followee_id, now):
                return []
            return await self._changed(connection, edge, 1, now, record)

    async def _remove(self, edge: Edge, now: datetime, record: MakeRecord) -> list[Record]:
        async with self._postgres.transaction() as connection:
            if not await connection.fetchval(_DELETE, edge.follower_id, edge.followee_id):
                return []
            return await self._changed(connection, edge, -1, now, record)

    @staticmethod
    async def _changed(
        connection: Connection, edge: Edge, sign: int, now: datetime, record: MakeRecord
    ) -> list[Record]:
        """Count and write the event. The follower's row gives out versions, so that those of an edge always grow."""
        now_us = int(now.timestamp() * 1_000_000)
        mine = (edge.follower_id, 0, 0, sign, now_us)
        theirs = (edge.followee_id, random.randrange(SLOTS), sign, 0, 0)
        columns = [list(column) for column in zip(*sorted((mine, theirs)), strict=True)]
        rows = await connection.fetch(_COUNT, *columns)
        version = next(row["version"] for row in rows if row["user_id"] == edge.follower_id)
        records = [record(version)]
        await PostgresOutbox.insert(connection, records)
        return records

    async def audience(self, user_id: int) -> Audience | None:
        """See the port."""
        row = await self._postgres.fetchrow(_AUDIENCE, user_id)
        return Audience(**row) if row else None

    async def set_mode(self, user_id: int, seen_version: int, mode: Mode, now: datetime) -> bool:
        """See the port."""
        return await self._postgres.fetchrow(_SET_MODE, user_id, seen_version, mode, now) is not None

    async def followers(self, user_id: int, below_id: int | None, limit: int) -> list[int]:
        """See the port."""
        return await self._ids(_FOLLOWERS, user_id, below_id, limit)

    async def following(self, user_id: int, below_id: int | None, limit: int) -> list[int]:
        """See the port."""
        return await self._ids(_FOLLOWING, user_id, below_id, limit)

    async def mutuals(self, user_id: int, reader_id: int, below_id: int | None, limit: int) -> list[int]:
        """See the port."""
        return await self._ids(_MUTUALS, user_id, below_id, limit, reader_id)

    async def follower_ranges(self, user_id: int, size: int) -> list[tuple[int, int]]:
        """See the port."""
        rows = await self._postgres.fetch(_ENDS_OF_RANGES, user_id, size)
        return list(pairwise([0, *(row["follower_id"] for row in rows)]))

    async def follower_ids(self, user_id: int, after: int, up_to: int, limit: int) -> list[int]:
        """See the port."""
        return await self._ids(_FOLLOWER_IDS, user_id, after, up_to, limit)

    async def followees(self, user_id: int, pull_since: datetime) -> Followees:
        """See the port."""
        row = await self._postgres.fetchrow(_FOLLOWEES, user_id, pull_since)
        return Followees(row["ids"] or [], row["pull"] or []) if row else Followees([], [])

    async def _ids(self, sql: str, *parameters: object) -> list[int]:
        row = await self._postgres.fetchrow(sql, *parameters)
        return (row["ids"] or []) if row else []
