"""Profiles and authored posts in PostgreSQL."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from libs.common.stores.postgres import Connection, Postgres
from libs.common.stores.postgres_outbox import PostgresOutbox
from libs.contracts.records import EventRecord
from libs.media.paths import SecretPaths
from services.user.domain.people import AuthoredPost, Profile, ProfileChange, Relationship
from services.user.ports import MakeRecord
from services.user.stores.retries import with_retries
from services.user.stores.visibility import is_visible

_PAST_USERNAMES = "{"  # sorts after every character that a username can hold

_PROFILES = f"""
SELECT u.user_id, u.username, u.display_name, u.bio, u.avatar_path, u.is_verified, u.is_private, u.created_at,
    c.followers, c.following, c.posts,
    EXISTS (SELECT FROM follows WHERE follower_id = $2 AND followee_id = u.user_id) AS is_followed,
    EXISTS (SELECT FROM follows WHERE follower_id = u.user_id AND followee_id = $2) AS follows,
    EXISTS (SELECT FROM follow_requests WHERE requester = $2 AND target = u.user_id) AS is_requested,
    EXISTS (SELECT FROM blocks WHERE blocker = $2 AND blocked = u.user_id) AS is_blocked,
    EXISTS (SELECT FROM mutes WHERE muter = $2 AND muted = u.user_id) AS is_muted
FROM users u CROSS JOIN LATERAL (
    SELECT coalesce(sum(followers), 0)::bigint AS followers, coalesce(sum(following), 0)::bigint AS following,
        coalesce(sum(posts), 0)::bigint AS posts
    FROM user_counts WHERE user_id = u.user_id
) c
WHERE u.user_id = ANY ($1::bigint[]) AND {is_visible("u.user_id", "$2")}
"""  # noqa: S608 - of constants
_SEARCH = f"""
SELECT user_id FROM users
WHERE username >= $1 AND username < $2 AND username > $3 AND {is_visible("users.user_id", "$5")}
ORDER BY username LIMIT $4
"""  # noqa: S608 - of constants
_UPDATE = """
UPDATE users SET display_name = coalesce($2, display_name), bio = coalesce($3, bio),
    avatar_media_id = CASE WHEN $4 THEN $5 ELSE avatar_media_id END,
    avatar_path = CASE WHEN $4 THEN $6 ELSE avatar_path END,
    is_private = coalesce($8, is_private), version = greatest(version + 1, $7)
WHERE user_id = $1 RETURNING version
"""
# xmax is 0 in an inserted row, and the id of this transaction in an updated row.
_APPLY = """
INSERT INTO authored_posts (user_id, post_id, deleted)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::boolean[])
ON CONFLICT (user_id, post_id) DO UPDATE SET deleted = true WHERE excluded.deleted AND NOT authored_posts.deleted
RETURNING user_id, deleted, xmax = 0 AS inserted
"""
_COUNT_POSTS = """
INSERT INTO user_counts (user_id, slot, posts) SELECT id, 0, delta FROM unnest($1::bigint[], $2::bigint[]) t (id, delta)
ON CONFLICT (user_id, slot) DO UPDATE SET posts = user_counts.posts + excluded.posts
"""


def _profile(row: Any, reader_id: int | None, paths: SecretPaths) -> Profile:
    relationship = None
    if reader_id is not None and reader_id != row["user_id"]:
        ties = ("is_followed", "follows", "is_requested", "is_blocked", "is_muted")
        relationship = Relationship(*(row[tie] for tie in ties))
    return Profile(
        user_id=row["user_id"],
        username=row["username"],
        display_name=row["display_name"],
        bio=row["bio"],
        avatar_path=row["avatar_path"] and paths.path(row["avatar_path"]),
        is_verified=row["is_verified"],
        follower_count=row["followers"],
        following_count=row["following"],
        post_count=row["posts"],
        created_at=row["created_at"],
        is_private=row["is_private"],
        relationship=relationship,
    )


class PostgresProfileStore:
    """Implements `ports.ProfileStore`."""

    def __init__(self, postgres: Postgres, paths: SecretPaths) -> None:
        self._postgres = postgres
        self._paths = paths

    async def profiles(self, user_ids: Sequence[int], reader_id: int | None) -> list[Profile]:
        rows = await self._postgres.fetch(_PROFILES, list(user_ids), reader_id)
        return [_profile(row, reader_id, self._paths) for row in rows]

    async def id_of(self, username: str) -> int | None:
        row = await self._postgres.fetchrow("SELECT user_id FROM users WHERE username = $1", username)
        return row["user_id"] if row else None

    async def search(self, prefix: str, reader_id: int | None, after: str, limit: int) -> list[int]:
        rows = await self._postgres.fetch(_SEARCH, prefix, prefix + _PAST_USERNAMES, after, limit, reader_id)
        return [row["user_id"] for row in rows]

    async def update(self, user_id: int, change: ProfileChange, now_us: int, record: MakeRecord) -> list[EventRecord]:
        avatar = change.avatar
        async with self._postgres.transaction() as connection:
            version = await connection.fetchval(
                _UPDATE,
                user_id,
                change.display_name,
                change.bio,
                change.sets_avatar,
                avatar.media_id if avatar else None,
                avatar.path if avatar else None,
                now_us,
                change.is_private,
            )
            if version is None:
                return []
            records = [record(version)]
            await PostgresOutbox.insert(connection, records)
            return records


class PostgresAuthoredPostStore:
    """Implements `ports.AuthoredPostStore`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def apply(self, changes: Sequence[AuthoredPost]) -> None:
        deleted_of: dict[tuple[int, int], bool] = {}
        for change in changes:
            key = (change.user_id, change.post_id)
            deleted_of[key] = change.deleted or deleted_of.get(key, False)
        if deleted_of:
            await with_retries(lambda: self._apply(dict(sorted(deleted_of.items()))))

    async def _apply(self, deleted_of: dict[tuple[int, int], bool]) -> None:
        async with self._postgres.transaction() as connection:
            users, posts = [user for user, _ in deleted_of], [post for _, post in deleted_of]
            rows = await connection.fetch(_APPLY, users, posts, list(deleted_of.values()))
            deltas: Counter[int] = Counter()
            for row in rows:
                deltas[row["user_id"]] += (not row["deleted"]) if row["inserted"] else -1
            await self._count(connection, {user: delta for user, delta in sorted(deltas.items()) if delta})

    @staticmethod
    async def _count(connection: Connection, deltas: dict[int, int]) -> None:
        if deltas:
            await connection.execute(_COUNT_POSTS, list(deltas), list(deltas.values()))
