"""People by the thousand, written straight into the running system's stores: registering hashes a password each."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

from argon2 import PasswordHasher
from redis.asyncio import Redis

from bench.delivery import Author, with_picture
from devstack.processes import ProcessTable
from devstack.procfs import PROC
from libs.common.core.ids import now_ms
from libs.common.core.settings import Settings
from libs.common.stores.postgres import Connection, Postgres, open_postgres
from libs.common.stores.redis import open_redis
from libs.feedlists import FeedLists
from ops.client import Account, Api

FIRST, LAST = 10**15, 10**17 - 1  # ids of crowds: below those minted since October 2024, and so of no one else
IDS_A_MS = (
    1_000  # another crowd begins elsewhere, for what its readers and authors did is still in caches and Cassandra
)
BUCKETS = int(os.environ.get("FEEDMILL_FEED_BUCKETS", "16"))
AT_ONCE = 100  # lists
BULK_S = 3_600.0  # for statements over millions of rows
PASSWORD = "a long password"  # noqa: S105 - of people made for the measurement
_FOLLOW = (
    "INSERT INTO follows (follower_id, followee_id, created_at) "
    "SELECT n, $1::bigint, now() FROM generate_series($2::bigint, $3::bigint) n"
)
_COUNT = """
INSERT INTO user_counts (user_id, slot, followers, following)
SELECT user_id, 0, (SELECT count(*) FROM follows WHERE followee_id = user_id),
    (SELECT count(*) FROM follows WHERE follower_id = user_id)
FROM users WHERE user_id BETWEEN $1 AND $2
"""
_PULL = """
UPDATE users u SET mode = 'pull' FROM user_counts c
WHERE u.user_id BETWEEN $1 AND $2 AND c.user_id = u.user_id AND followers >= $3
"""
_FORGET = (
    "DELETE FROM follows WHERE follower_id BETWEEN $1 AND $2 OR followee_id BETWEEN $1 AND $2",
    "DELETE FROM authored_posts WHERE user_id BETWEEN $1 AND $2",
    "DELETE FROM user_counts WHERE user_id BETWEEN $1 AND $2",
    "DELETE FROM users WHERE user_id BETWEEN $1 AND $2",
)
_TIDY = "VACUUM ANALYZE follows, users, user_counts"


class Crowd:
    """Ids are reserved by `ids`; who signs in or is followed needs an account, mere followers need none.

    No event reports accounts and follows. So call `follow` before anyone reads or posts, then `settle`.
    """

    def __init__(self, api: Api, postgres: Postgres, redis: "Redis", lists: FeedLists) -> None:
        self.api = api
        self.postgres = postgres
        self.redis = redis
        self.lists = lists
        self._next_id = now_ms() * IDS_A_MS
        self._with_lists: list[int] = []
        self._password_hash = PasswordHasher().hash(PASSWORD)

    def ids(self, count: int) -> range:
        """Return unused user ids, ascending."""
        ids = range(self._next_id, self._next_id + count)
        self._next_id += count
        return ids

    async def people(self, ids: Sequence[int]) -> None:
        """Create accounts with these ids."""
        async with self.postgres.connection() as connection:
            await self.join(connection, f"generate_series({ids[0]}, {ids[-1]}) ids (user_id)")

    async def join(self, connection: Connection, source: str) -> None:
        """Accounts for all that the FROM item `source` lists as `user_id`."""
        sql = (
            "INSERT INTO users (user_id, username, email, password_hash, display_name, version, created_at) "
            "SELECT user_id, 'crowd_' || user_id, 'crowd_' || user_id || '@example.com', $1, '', 1, now() "
            f"FROM {source}"
        )
        await connection.execute(sql, self._password_hash, timeout=BULK_S)

    async def follow(self, author_id: int, followers: range) -> None:
        """Let all of them follow the author."""
        async with self.postgres.connection() as connection:
            await connection.execute(_FOLLOW, author_id, followers[0], followers[-1], timeout=BULK_S)

    async def settle(self, threshold: int = LAST) -> None:
        """Set the counts of the follows. Authors with at least `threshold` followers become pull authors."""
        async with self.postgres.connection() as connection:
            await connection.execute(_COUNT, FIRST, LAST, timeout=BULK_S)
            await connection.execute(_PULL, FIRST, LAST, threshold, timeout=BULK_S)
            await connection.execute(_TIDY, timeout=BULK_S)

    async def give_lists(self, user_ids: Iterable[int]) -> None:
        """Empty feed lists, complete while nobody has posted: pushes land only where there is one."""
        rest = iter(user_ids)
        while some := list(islice(rest, AT_ONCE)):
            self._with_lists += some
            await asyncio.gather(*map(self.lists.begin, some))
            await asyncio.gather(*(self.lists.merge(user_id, (), finish=True) for user_id in some))

    async def sign_in(self, user_id: int) -> Account:
        """Sign in as this user of the crowd."""
        return await self.api.login(f"crowd_{user_id}", PASSWORD)

    async def author(self, user_id: int) -> Author:
        """Return a user of the crowd with an account and an image."""
        return await with_picture(self.api, await self.sign_in(user_id))

    async def leave(self) -> None:
        """Delete all crowds, also that of a killed run. The feed lists of a killed run expire."""
        rest = iter(self._with_lists)
        while some := list(islice(rest, AT_ONCE)):
            await self.redis.unlink(*map(self.lists.key, some))
        async with self.postgres.connection() as connection:
            for statement in _FORGET:
                await connection.execute(statement, FIRST, LAST, timeout=BULK_S)
            await connection.execute(_TIDY, timeout=BULK_S)


@asynccontextmanager
async def crowd(settings: Settings) -> AsyncIterator[Crowd]:
    """Nobody at first; nobody is left behind. Posts stay, and show nowhere without their authors."""
    async with (
        Api(settings.public_url) as api,
        open_postgres(settings, settings.keyspace("user")) as postgres,
        open_redis(settings) as redis,
    ):
        made = Crowd(api, postgres, redis, FeedLists(redis, settings.redis_prefix("feed"), BUCKETS))
        await made.leave()
        try:
            yield made
        finally:
            await made.leave()


def push_threshold() -> int:
    """That of the running user service, which may have been started with another one than this environment's."""
    user = ProcessTable(Path(os.environ["FEEDMILL_STATE_DIR"])).find("user")
    if user is None:
        raise RuntimeError("the user service does not run")
    variables = (PROC / str(user.pid) / "environ").read_text().split("\0")
    return int(dict(line.split("=", 1) for line in variables if "=" in line)["FEEDMILL_PUSH_THRESHOLD"])
