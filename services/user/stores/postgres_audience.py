"""Graph queries of fan-out and feeds, in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from libs.common.stores.postgres import Postgres
from services.user.domain.people import PULLED_FOR, AuthorAudience, FollowedAuthors, Mode, ReaderRelation

_AUDIENCES = """
SELECT user_id, mode, mode_version, follower_count,
    CASE WHEN mode = 'push' AND follower_count <= $2
        THEN ARRAY(SELECT follower_id FROM follows WHERE followee_id = user_id ORDER BY follower_id) END AS followers
FROM users u, LATERAL (
    SELECT coalesce(sum(followers), 0)::bigint AS follower_count FROM user_counts c WHERE c.user_id = u.user_id
) counted WHERE user_id = ANY($1)
"""
_SET_MODE = """
UPDATE users SET mode = $3, mode_version = mode_version + 1,
    left_pull_at = CASE WHEN mode = 'pull' THEN $4 ELSE left_pull_at END
WHERE user_id = $1 AND mode_version = $2 RETURNING 1
"""
_ENDS_OF_RANGES = """
WITH RECURSIVE ends AS (
    SELECT 0::bigint AS follower_id
    UNION ALL
    SELECT (
        SELECT f.follower_id FROM follows f WHERE f.followee_id = $1 AND f.follower_id > ends.follower_id
        ORDER BY f.follower_id OFFSET $2::bigint - 1 LIMIT 1
    ) FROM ends WHERE ends.follower_id IS NOT NULL
)
SELECT follower_id FROM (
    SELECT follower_id FROM ends UNION SELECT max(follower_id) FROM follows WHERE followee_id = $1
) found WHERE follower_id > 0 ORDER BY follower_id
"""
_FOLLOWER_IDS = """
SELECT ARRAY(
    SELECT follower_id FROM follows WHERE followee_id = $1 AND follower_id > $2 AND follower_id <= $3
    ORDER BY follower_id LIMIT $4
) AS ids
"""
_FOLLOWEES = """
SELECT array_agg(followee_id) AS ids,
    array_agg(followee_id) FILTER (WHERE is_pulled OR is_fresh) AS pull,
    array_agg(followee_id) FILTER (WHERE is_fresh AND NOT is_pulled) AS fresh
FROM (
    SELECT followee_id, mode = 'pull' OR coalesce(left_pull_at > $2, false) AS is_pulled,
        coalesce(pull_until > $3, false) AS is_fresh
    FROM follows JOIN users ON user_id = followee_id
    WHERE follower_id = $1 AND banned_at IS NULL
        AND NOT EXISTS (SELECT FROM mutes WHERE muter = $1 AND muted = followee_id)
) followed
"""
_RELATION = """
SELECT banned_at IS NOT NULL AS banned, is_private AS private,
    EXISTS (SELECT FROM follows WHERE follower_id = $1 AND followee_id = $2) AS following,
    EXISTS (SELECT FROM mutes WHERE muter = $1 AND muted = $2) AS muted,
    EXISTS (SELECT FROM blocks WHERE (blocker, blocked) IN (($1, $2), ($2, $1))) AS blocked
FROM users WHERE user_id = $2
"""


class PostgresAudienceStore:
    """Implements `ports.AudienceStore`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def audiences(self, user_ids: Sequence[int], followers_up_to: int) -> dict[int, AuthorAudience]:
        rows = await self._postgres.fetch(_AUDIENCES, user_ids, followers_up_to)
        return {
            row["user_id"]: AuthorAudience(row["follower_count"], row["mode"], row["mode_version"], row["followers"])
            for row in rows
        }

    async def set_mode(self, user_id: int, seen_version: int, mode: Mode, now: datetime) -> bool:
        return await self._postgres.fetchrow(_SET_MODE, user_id, seen_version, mode, now) is not None

    async def follower_ranges(self, user_id: int, size: int) -> list[tuple[int, int]]:
        rows = await self._postgres.fetch(_ENDS_OF_RANGES, user_id, size)
        return list(pairwise([0, *(row["follower_id"] for row in rows)]))

    async def follower_ids(self, user_id: int, after: int, up_to: int, limit: int) -> list[int]:
        row = await self._postgres.fetchrow(_FOLLOWER_IDS, user_id, after, up_to, limit)
        return row["ids"] if row else []

    async def followees(self, user_id: int, now: datetime) -> FollowedAuthors:
        row = await self._postgres.fetchrow(_FOLLOWEES, user_id, now - PULLED_FOR, now)
        return (
            FollowedAuthors(row["ids"] or [], row["pull"] or [], row["fresh"] or [])
            if row
            else FollowedAuthors([], [], [])
        )

    async def relation(self, reader_id: int, author_id: int) -> ReaderRelation | None:
        row = await self._postgres.fetchrow(_RELATION, reader_id, author_id)
        return ReaderRelation(**row) if row else None
