"""Readers with many followees: the first read, which builds the list, and reads after it, beside few followees."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from uuid import uuid4

import orjson
from redis.asyncio import Redis

from bench import cpu
from bench.crowd import BUCKETS
from bench.figures import Latency, Row
from bench.http import Connection
from libs.common.core.settings import Settings
from libs.common.stores.postgres import Postgres, open_postgres
from libs.common.stores.redis import open_redis
from libs.feedlists import FeedLists
from ops.client import Account, Api

FEW, MANY, MOST = 100, 500, 1_000
QUIET = 9_000_000_000_000  # ids from here on are followees without posts: far below any that is minted
REBUILDS = 9
READS = 300
PAGE = 6
PASSWORD = "a long password"  # noqa: S105 - of people made for the measurement
_PEOPLE = (
    "INSERT INTO users (user_id, username, email, password_hash, display_name, version, created_at) "
    "SELECT n, 'bench_quiet_' || n, 'bench_quiet_' || n || '@example.com', '', '', 1, now() "
    "FROM generate_series($1::bigint, $2::bigint) n ON CONFLICT DO NOTHING"
)
_ACTIVE = (
    "SELECT array_agg(user_id) AS ids FROM "
    "(SELECT user_id FROM authored_posts GROUP BY user_id ORDER BY count(*) DESC LIMIT 6) busiest"
)
FOLLOW = (
    "INSERT INTO follows (follower_id, followee_id, created_at) "
    "SELECT $1::bigint, n, now() FROM generate_series($2::bigint, $3::bigint) n "
    "UNION ALL SELECT $1, unnest($4::bigint[]), now()"
)


async def measure(settings: Settings) -> list[Row]:
    """Rows of the table; six of the followees are the sample world's busiest authors, the others are quiet."""
    async with (
        open_postgres(settings, settings.keyspace("user")) as postgres,
        open_redis(settings) as redis,
        Api(settings.public_url) as api,
    ):
        lists = FeedLists(redis, settings.redis_prefix("feed"), BUCKETS)
        async with quiet_people(postgres, MOST):
            rebuilt, costs = {}, {}
            for count in (FEW, MANY, MOST):
                reader = await _reader(api, postgres, count)
                async with Connection(settings.public_url, reader.access_token) as connection:
                    rebuilt[count] = await _rebuilt(connection, redis, lists.key(int(reader.user_id)))
                    costs[count] = (await reads(connection, await second_page(connection, PAGE))).cpu_ms
    return [
        _row(f"first read, list built, {MANY} followees beside {FEW}", rebuilt[MANY], rebuilt[FEW]),
        _row(f"read, CPU, {MOST:,} followees beside {FEW}", costs[MOST], costs[FEW]),
    ]


@asynccontextmanager
async def quiet_people(postgres: Postgres, count: int) -> AsyncIterator[None]:
    """Followees without posts, from the id `QUIET` on."""
    await postgres.execute(_PEOPLE, QUIET, QUIET + count)
    try:
        yield
    finally:
        for table in ("follows WHERE followee_id", "users WHERE user_id"):
            await postgres.execute(f"DELETE FROM {table} BETWEEN $1 AND $2", QUIET, QUIET + count)


async def _reader(api: Api, postgres: Postgres, count: int) -> Account:
    reader = await api.register(f"bench_{uuid4().hex[:12]}", PASSWORD)
    active = await postgres.fetchrow(_ACTIVE)
    ids = active["ids"] if active else []
    await postgres.execute(FOLLOW, int(reader.user_id), QUIET, QUIET + count - len(ids) - 1, ids)
    return reader


async def _rebuilt(connection: Connection, redis: "Redis", key: str) -> float:
    times = []
    for limit in range(1, REBUILDS + 1):  # another page size each time, so that no cached page fits
        await redis.delete(key)
        started = time.perf_counter()
        answer = await connection.get(f"/v1/feed?limit={limit}")
        times.append(time.perf_counter() - started)
        if answer.headers["x-cache-status"] != "miss":
            raise RuntimeError("a kept page was served")
    return median(times) * 1_000


async def second_page(connection: Connection, limit: int) -> str:
    """Return the path of a page that is never cached."""
    cursor = orjson.loads((await connection.get("/v1/feed?order=chronological&limit=1")).body)["next_cursor"]
    if cursor is None:
        raise RuntimeError("a reader has too few posts to read; of the sample world: make seed")
    return f"/v1/feed?limit={limit}&cursor={cursor}"


async def reads(connection: Connection, path: str) -> Latency:
    """Read one page after the other. CPU is that of all processes, without their idle share.

    The idle share is the lower one of before and after, because periodic work may fall into one of them.
    """
    times, before = [], await cpu.idle_share()
    used, started = cpu.used_s(), time.perf_counter()
    for _ in range(READS):
        begun = time.perf_counter()
        answer = await connection.get(path)
        times.append(time.perf_counter() - begun)
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {answer.body[:200]!r}")
    used, elapsed = cpu.used_s() - used, time.perf_counter() - started
    return Latency.of(times, cpu_s=used - min(before, await cpu.idle_share()) * elapsed)


def _row(what: str, ours: float, reference: float) -> Row:
    return Row(what, f"{ours:.1f} ms", f"{reference:.1f} ms", ours / reference)
