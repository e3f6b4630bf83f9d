"""Follows, follow requests, blocks and mutes in PostgreSQL."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from libs.common.core.errors import NotFoundError
from libs.common.stores.postgres import Connection, Postgres
from libs.common.stores.postgres_outbox import PostgresOutbox
from libs.contracts.events import (
    BlockCreated,
    BlockDeleted,
    FollowCreated,
    FollowDeleted,
    FollowRequestCreated,
    FollowRequestDeleted,
    GraphEvent,
    MuteCreated,
    MuteDeleted,
)
from libs.contracts.records import EventRecord
from services.user.domain.people import FRESH_FOR, Edge
from services.user.errors import BlockedByYouError
from services.user.ports import EdgeRecord
from services.user.stores.retries import with_retries
from services.user.stores.visibility import is_visible

SLOTS = 16  # rows over which the count of followers is spread, so that concurrent follows do not wait for each other
Change = tuple[type[GraphEvent], Edge]

# Serializes all changes between two users, so that none sees half of a follow or a block.
_LOCK_PAIR = "SELECT pg_advisory_xact_lock(hashint8extended(least($1, $2::bigint), greatest($1, $2)))"
_TARGET_STATE = f"""
SELECT is_private,
    EXISTS (SELECT FROM follows WHERE follower_id = $1 AND followee_id = $2) AS following,
    EXISTS (SELECT FROM blocks WHERE blocker = $1 AND blocked = $2) AS blocking
FROM users WHERE user_id = $2 AND {is_visible("$2", "$1")}
"""  # noqa: S608 - of constants
# A change to public waits for this lock, and then finds the request.
_TARGET_STATE_LOCKED = f"{_TARGET_STATE} FOR SHARE OF users"
_FOLLOW = """
INSERT INTO follows (follower_id, followee_id, created_at, pull_until) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING 1
"""
_UNFOLLOW = "DELETE FROM follows WHERE follower_id = $1 AND followee_id = $2 RETURNING 1"
_PULL = "UPDATE follows SET pull_until = $3 WHERE follower_id = $1 AND followee_id = $2"
_ASK = (
    "INSERT INTO follow_requests (requester, target, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1"
)
_WITHDRAW = "DELETE FROM follow_requests WHERE requester = $1 AND target = $2 RETURNING 1"
# Works for any existing account, also for one that is banned or blocks the user.
_BLOCK = """
INSERT INTO blocks (blocker, blocked, created_at) SELECT $1, user_id, $3 FROM users WHERE user_id = $2
ON CONFLICT DO NOTHING RETURNING 1
"""
_UNBLOCK = "DELETE FROM blocks WHERE blocker = $1 AND blocked = $2 RETURNING 1"
_MUTE = """
INSERT INTO mutes (muter, muted, created_at) SELECT $1, user_id, $3 FROM users WHERE user_id = $2
ON CONFLICT DO NOTHING RETURNING 1
"""
_UNMUTE = "DELETE FROM mutes WHERE muter = $1 AND muted = $2 RETURNING 1"
_LOCK_IF_PUBLIC = "SELECT 1 FROM users WHERE user_id = $1 AND NOT is_private FOR NO KEY UPDATE"
_WITHDRAW_OLDEST = """
DELETE FROM follow_requests WHERE target = $1
    AND requester IN (SELECT requester FROM follow_requests WHERE target = $1 ORDER BY place LIMIT $2)
RETURNING requester
"""
_FOLLOW_ALL = """
INSERT INTO follows (follower_id, followee_id, created_at, pull_until)
SELECT id, $2::bigint, $3::timestamptz, $4::timestamptz FROM unnest($1::bigint[]) id
ON CONFLICT DO NOTHING RETURNING follower_id
"""
# The arrays are sorted by (user_id, slot), so all transactions lock rows in the same order and cannot deadlock.
_COUNT = """
INSERT INTO user_counts (user_id, slot, followers, following, version)
SELECT *, $5::bigint FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[])
ON CONFLICT (user_id, slot) DO UPDATE SET
    followers = user_counts.followers + excluded.followers,
    following = user_counts.following + excluded.following,
    version = greatest(user_counts.version + 1, excluded.version)
RETURNING user_id, slot, version
"""


async def _change(connection: Connection, sql: str, kind: type[GraphEvent], edge: Edge, *more: object) -> list[Change]:
    """Execute the statement. Return the change, or an empty list if it changed no row."""
    return [(kind, edge)] if await connection.fetchval(sql, edge.from_id, edge.to_id, *more) else []


async def _remove_edges(connection: Connection, edge: Edge) -> list[Change]:
    """Delete the request and the follow along the edge."""
    return [
        *await _change(connection, _WITHDRAW, FollowRequestDeleted, edge),
        *await _change(connection, _UNFOLLOW, FollowDeleted, edge),
    ]


async def _target_state(connection: Connection, edge: Edge, sql: str = _TARGET_STATE) -> Any:
    row = await connection.fetchrow(sql, edge.from_id, edge.to_id)
    if row is None:
        raise NotFoundError
    return row


class PostgresGraphStore:
    """Implements `ports.GraphStore`."""

    def __init__(self, postgres: Postgres, record: EdgeRecord) -> None:
        self._postgres = postgres
        self._record = record

    async def add(self, edge: Edge, now: datetime) -> list[EventRecord]:
        async def change(connection: Connection) -> list[Change]:
            target = await _target_state(connection, edge)
            if target["following"]:
                return []
            if target["blocking"]:
                raise BlockedByYouError
            if target["is_private"] and (await _target_state(connection, edge, _TARGET_STATE_LOCKED))["is_private"]:
                return await _change(connection, _ASK, FollowRequestCreated, edge, now)
            withdrawn = await _change(connection, _WITHDRAW, FollowRequestDeleted, edge)
            return withdrawn + await _change(connection, _FOLLOW, FollowCreated, edge, now, now + FRESH_FOR)

        return await self._between(edge, now, change)

    async def remove(self, edge: Edge, now: datetime) -> list[EventRecord]:
        return await self._between(edge, now, lambda connection: _remove_edges(connection, edge))

    async def accept(self, edge: Edge, now: datetime) -> list[EventRecord]:
        async def change(connection: Connection) -> list[Change]:
            withdrawn = await _change(connection, _WITHDRAW, FollowRequestDeleted, edge)
            if not withdrawn:
                return []
            return withdrawn + await _change(connection, _FOLLOW, FollowCreated, edge, now, now + FRESH_FOR)

        return await self._between(edge, now, change)

    async def accept_some(self, target_id: int, limit: int, now: datetime) -> list[EventRecord]:
        async def transaction() -> list[EventRecord]:
            async with self._postgres.transaction() as connection:
                # Locking the account keeps new requests out, so the pairs need no locks.
                if not await connection.fetchval(_LOCK_IF_PUBLIC, target_id):
                    return []
                rows = await connection.fetch(_WITHDRAW_OLDEST, target_id, limit)
                asked = [row["requester"] for row in rows]
                rows = await connection.fetch(_FOLLOW_ALL, asked, target_id, now, now + FRESH_FOR)
                changes: list[Change] = [(FollowRequestDeleted, Edge(i, target_id)) for i in asked]
                changes += [(FollowCreated, Edge(row["follower_id"], target_id)) for row in rows]
                return await self._count(connection, changes, now)

        return await with_retries(transaction)

    async def deny(self, edge: Edge, now: datetime) -> list[EventRecord]:
        return await self._between(edge, now, lambda c: _change(c, _WITHDRAW, FollowRequestDeleted, edge))

    async def block(self, edge: Edge, now: datetime) -> list[EventRecord]:
        async def change(connection: Connection) -> list[Change]:
            blocked = await _change(connection, _BLOCK, BlockCreated, edge, now)
            if not blocked:
                return []
            return blocked + await _remove_edges(connection, edge) + await _remove_edges(connection, edge.reversed)

        return await self._between(edge, now, change)

    async def unblock(self, edge: Edge, now: datetime) -> list[EventRecord]:
        return await self._between(edge, now, lambda c: _change(c, _UNBLOCK, BlockDeleted, edge))

    async def mute(self, edge: Edge, now: datetime) -> list[EventRecord]:
        return await self._between(edge, now, lambda c: _change(c, _MUTE, MuteCreated, edge, now))

    async def unmute(self, edge: Edge, now: datetime) -> list[EventRecord]:
        async def change(connection: Connection) -> list[Change]:
            unmuted = await _change(connection, _UNMUTE, MuteDeleted, edge)
            if unmuted:
                await connection.execute(_PULL, edge.from_id, edge.to_id, now + FRESH_FOR)
            return unmuted

        return await self._between(edge, now, change)

    async def _between(
        self, edge: Edge, now: datetime, change: Callable[[Connection], Awaitable[list[Change]]]
    ) -> list[EventRecord]:
        """Run `change` with the pair locked, update counts and write events, in one transaction."""

        async def transaction() -> list[EventRecord]:
            async with self._postgres.transaction() as connection:
                await connection.execute(_LOCK_PAIR, edge.from_id, edge.to_id)
                return await self._count(connection, await change(connection), now)

        return await with_retries(transaction)

    async def _count(self, connection: Connection, changes: Sequence[Change], now: datetime) -> list[EventRecord]:
        """Update the follow counts and write the events.

        The version comes from slot 0 of the user where the edge starts, so the versions of an edge only grow.
        """
        if not changes:
            return []
        followers, following = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
        for kind, edge in changes:
            step = (kind is FollowCreated) - (kind is FollowDeleted)
            following[edge.from_id, 0] += step
            if step:
                followers[edge.to_id, random.randrange(SLOTS)] += step
        slots = sorted({*followers, *following})
        rows = await connection.fetch(
            _COUNT,
            [user_id for user_id, _ in slots],
            [slot for _, slot in slots],
            [followers[slot] for slot in slots],
            [following[slot] for slot in slots],
            int(now.timestamp() * 1_000_000),
        )
        version_of = {row["user_id"]: row["version"] for row in rows if row["slot"] == 0}
        records = [self._record(kind, edge, version_of[edge.from_id]) for kind, edge in changes]
        await PostgresOutbox.insert(connection, records)
        return records
