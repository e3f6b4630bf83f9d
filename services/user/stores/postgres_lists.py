"""Lists of people in PostgreSQL."""

from libs.common.stores.postgres import Postgres
from services.user.stores.visibility import is_visible

_FOLLOWERS = f"""
SELECT array(SELECT follower_id FROM follows WHERE followee_id = $1 AND ($2::bigint IS NULL OR follower_id < $2)
    AND {is_visible("follows.follower_id", "$4")} ORDER BY follower_id DESC LIMIT $3) AS ids
"""  # noqa: S608 - of constants
_FOLLOWING = f"""
SELECT array(SELECT followee_id FROM follows WHERE follower_id = $1 AND ($2::bigint IS NULL OR followee_id < $2)
    AND {is_visible("follows.followee_id", "$4")} ORDER BY followee_id DESC LIMIT $3) AS ids
"""  # noqa: S608 - of constants
_MUTUALS = f"""
SELECT array(SELECT mine.followee_id FROM follows mine
    JOIN follows theirs ON theirs.follower_id = mine.followee_id AND theirs.followee_id = $1
    WHERE mine.follower_id = $4 AND ($2::bigint IS NULL OR mine.followee_id < $2)
    AND {is_visible("mine.followee_id", "$4")} ORDER BY mine.followee_id DESC LIMIT $3) AS ids
"""  # noqa: S608 - of constants


def _placed(table: str, owner: str, person: str) -> str:
    return (
        f"SELECT place, {person} AS person FROM {table} WHERE {owner} = $1 AND ($2::bigint IS NULL OR place < $2)"  # noqa: S608 - of constants
        f" AND {is_visible(f'{table}.{person}', '$1')} ORDER BY place DESC LIMIT $3"
    )


_REQUESTERS = _placed("follow_requests", "target", "requester")
_BLOCKED = _placed("blocks", "blocker", "blocked")
_MUTED = _placed("mutes", "muter", "muted")


class PostgresPeopleLists:
    """Implements `ports.PeopleLists`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def followers(self, user_id: int, reader_id: int | None, below_id: int | None, limit: int) -> list[int]:
        return await self._ids(_FOLLOWERS, user_id, below_id, limit, reader_id)

    async def following(self, user_id: int, reader_id: int | None, below_id: int | None, limit: int) -> list[int]:
        return await self._ids(_FOLLOWING, user_id, below_id, limit, reader_id)

    async def mutuals(self, user_id: int, reader_id: int, below_id: int | None, limit: int) -> list[int]:
        return await self._ids(_MUTUALS, user_id, below_id, limit, reader_id)

    async def requesters(self, user_id: int, below: int | None, limit: int) -> list[tuple[int, int]]:
        return await self._places(_REQUESTERS, user_id, below, limit)

    async def blocked(self, user_id: int, below: int | None, limit: int) -> list[tuple[int, int]]:
        return await self._places(_BLOCKED, user_id, below, limit)

    async def muted(self, user_id: int, below: int | None, limit: int) -> list[tuple[int, int]]:
        return await self._places(_MUTED, user_id, below, limit)

    async def _ids(self, sql: str, *parameters: object) -> list[int]:
        row = await self._postgres.fetchrow(sql, *parameters)
        return (row["ids"] or []) if row else []

    async def _places(self, sql: str, *parameters: object) -> list[tuple[int, int]]:
        return [(row["place"], row["person"]) for row in await self._postgres.fetch(sql, *parameters)]
