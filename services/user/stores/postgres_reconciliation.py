"""Counts of users compared with their rows, in PostgreSQL."""

from libs.common.stores.postgres import Postgres
from services.user.domain.people import AccountCounts

# One statement reads one snapshot, and a follow changes row and count together: every difference is an error.
_COMPARISON = """
SELECT (SELECT count(*) FROM follows WHERE followee_id = $1) AS followers,
    (SELECT count(*) FROM follows WHERE follower_id = $1) AS following,
    (SELECT count(*) FROM authored_posts WHERE user_id = $1 AND NOT deleted) AS posts,
    coalesce(sum(followers), 0)::bigint AS counted_followers, coalesce(sum(following), 0)::bigint AS counted_following,
    coalesce(sum(posts), 0)::bigint AS counted_posts
FROM user_counts WHERE user_id = $1
"""
# Adds the difference instead of setting the count: the difference does not depend on concurrent follows.
_RECOUNT = f"""
INSERT INTO user_counts (user_id, slot, followers, following, posts)
SELECT $1, 0, followers - counted_followers, following - counted_following, posts - counted_posts FROM ({_COMPARISON}) t
ON CONFLICT (user_id, slot) DO UPDATE SET
    followers = user_counts.followers + excluded.followers,
    following = user_counts.following + excluded.following,
    posts = user_counts.posts + excluded.posts
"""  # noqa: S608 - of constants
# Two concurrent recounts of a user would add the difference twice.
_LOCK_RECOUNT = "SELECT pg_advisory_xact_lock(hashtextextended('recount ' || $1::bigint, 0))"


class PostgresAccountCountStore:
    """Implements `ports.AccountCountStore`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def user_ids(self, after_id: int, limit: int) -> list[int]:
        sql = "SELECT user_id FROM users WHERE user_id > $1 ORDER BY user_id LIMIT $2"
        return [row["user_id"] for row in await self._postgres.fetch(sql, after_id, limit)]

    async def compare(self, user_id: int) -> tuple[AccountCounts, AccountCounts]:
        followers, following, posts, *counted = await self._postgres.fetchrow(_COMPARISON, user_id) or [0] * 6
        return AccountCounts(followers, following, posts), AccountCounts(*counted)

    async def post_ids(self, user_id: int) -> list[int]:
        sql = "SELECT post_id FROM authored_posts WHERE user_id = $1 AND NOT deleted"
        return [row["post_id"] for row in await self._postgres.fetch(sql, user_id)]

    async def recount(self, user_id: int) -> None:
        async with self._postgres.transaction() as connection:
            await connection.execute(_LOCK_RECOUNT, user_id)
            await connection.execute(_RECOUNT, user_id)
