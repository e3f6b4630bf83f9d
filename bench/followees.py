"""Readers with many followees: the first read, which builds the list, and reads after it, beside few followees."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from uuid import uuid4

import orjson
from redis.asyncio import Redis

from bench.crowd import BUCKETS
from bench.figures import Figure, Latency, Row, rows_of
from bench.http import Connection
from bench.rounds import Round, Rounds
from bench.world import PASSWORD, make_world
from libs.common.core.settings import Settings
from libs.common.stores.postgres import Postgres, open_postgres
from libs.common.stores.redis import open_redis
from libs.feedlists import FeedLists
from ops.client import Account, Api

QUIET = 9_000_000_000_000  # ids from here on are followees without posts: far below any that is minted
RETAINED = ("shutout", "rate")  # not deleted from Redis: a revoked session must not return
_PEOPLE = (
    "INSERT INTO users (user_id, username, email, password_hash, display_name, version, created_at) "
    "SELECT n, 'bench_quiet_' || n, 'bench_quiet_' || n || '@example.com', '', '', 1, now() "
    "FROM generate_series($1::bigint, $2::bigint) n ON CONFLICT DO NOTHING"
)
FOLLOW = (
    "INSERT INTO follows (follower_id, followee_id, created_at) "
    "SELECT $1::bigint, n, now() FROM generate_series($2::bigint, $3::bigint) n "
    "UNION ALL SELECT $1, unnest($4::bigint[]), now()"
)


@dataclass(frozen=True, slots=True)
class Reads:
    """Reads of each round, one after the other."""

    each: int = 100
    rounds: Rounds = field(default_factory=Rounds)


@dataclass(frozen=True, slots=True)
class Size:
    """Numbers of followees. Of these, `few` have as many posts as a page, and the others have none."""

    few: int = 100
    many: int = 500
    most: int = 1_000
    page: int = 20
    first_reads: int = 9
    reads: Reads = field(default_factory=Reads)


async def measure(settings: Settings, size: Size = Size()) -> list[Row]:
    """Rows of the table."""
    async with (
        open_postgres(settings, settings.keyspace("user")) as postgres,
        open_redis(settings) as redis,
        Api(settings.public_url) as api,
    ):
        authors = (await make_world(api, size.few, size.page, size.page)).author_ids
        lists = FeedLists(redis, settings.redis_prefix("feed"), BUCKETS)
        connections: dict[int, Connection] = {}
        read: dict[int, Latency] = {}
        rebuilt: dict[int, Figure] = {}
        emptied: dict[int, Figure] = {}
        async with quiet_people(postgres, size.most), AsyncExitStack() as stack:
            for count in (size.few, size.many, size.most):
                reader = await _reader(api, postgres, count, authors)
                connection = await stack.enter_async_context(Connection(settings.public_url, reader.access_token))
                connections[count] = connection
                read[count] = await reads(connection, await second_page(connection, size.page), size.reads)
                forget = partial(redis.delete, lists.key(int(reader.user_id)))
                rebuilt[count] = await _first_read(connection, size.first_reads, forget)
            for count, connection in connections.items():
                emptied[count] = await _first_read(connection, size.first_reads, partial(_empty, redis, settings))
    few, many, most = size.few, size.many, size.most
    note = f"median of {size.first_reads}"
    return [
        Row(f"first read, list built, {many:,} followees beside {few:,}", rebuilt[many], rebuilt[few], note),
        Row(f"first read, Redis just emptied, {many:,} followees beside {few:,}", emptied[many], emptied[few], note),
        *rows_of(f"assembled page, {many:,} followees beside {few:,}", read[many], read[few]),
        *rows_of(f"assembled page, {most:,} followees beside {few:,}", read[most], read[few]),
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


async def _reader(api: Api, postgres: Postgres, count: int, authors: Sequence[int]) -> Account:
    reader = await api.register(f"bench_{uuid4().hex[:12]}", PASSWORD)
    await postgres.execute(FOLLOW, int(reader.user_id), QUIET, QUIET + count - len(authors) - 1, list(authors))
    return reader


async def _first_read(connection: Connection, count: int, forget: Callable[[], Awaitable[object]]) -> Figure:
    times = []
    for limit in range(1, count + 1):  # another page size each time, so that no cached page fits
        await forget()
        started = time.perf_counter()
        answer = await connection.get(f"/v1/feed?limit={limit}")
        times.append((time.perf_counter() - started) * 1_000)
        if answer.status != 200 or answer.headers["x-cache-status"] != "miss":
            raise RuntimeError(f"a first read was answered {answer.status}: {answer.headers}")
    return Figure(median(times), "ms", min(times), max(times))


async def _empty(redis: "Redis", settings: Settings) -> None:
    """Delete what Feedmill has in Redis: lists, pages, stamps, counts and their generation."""
    retained = tuple(settings.redis_prefix(name).encode() for name in RETAINED)
    keys = [key async for key in redis.scan_iter(match=f"{settings.namespace}*", count=5_000)]
    if gone := [key for key in keys if not key.startswith(retained)]:
        await redis.unlink(*gone)


async def second_page(connection: Connection, limit: int) -> str:
    """Return the path of a page that is never cached."""
    cursor = orjson.loads((await connection.get("/v1/feed?order=chronological&limit=1")).body)["next_cursor"]
    if cursor is None:
        raise RuntimeError("a reader has too few posts to read")
    return f"/v1/feed?limit={limit}&cursor={cursor}"


async def reads(connection: Connection, path: str, size: Reads) -> Latency:
    """Read one page after the other."""

    async def one() -> Round:
        times = []
        for _ in range(size.each):
            begun = time.perf_counter()
            answer = await connection.get(path)
            times.append(time.perf_counter() - begun)
            if answer.status != 200:
                raise RuntimeError(f"{path} answered {answer.status}: {answer.body[:200]!r}")
        return Round(times)

    return await size.rounds.of(one)
