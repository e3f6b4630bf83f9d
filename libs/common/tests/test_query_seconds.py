"""What is measured of queries and pools, on real stores."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import DataError, ResponseError

from libs.common.core.settings import Settings
from libs.common.stores import rate
from libs.common.stores import redis as redis_stores
from libs.common.stores.cassandra import Cassandra, CassandraStore, cassandra_migrations
from libs.common.stores.migrations import migrate
from libs.common.stores.postgres import POOL_SIZE, Postgres, open_postgres
from libs.common.stores.redis import open_redis
from libs.common.stores.redis_functions import Functions
from libs.common.testing import settings_for
from libs.common.testing.eventually import eventually
from libs.common.testing.samples import sample

pytestmark = pytest.mark.stores

NO_MIGRATIONS = Path(__file__).parent / "no-such-folder"


class Queries:
    """The queries of one store that were measured since the last look."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._before = self._read("_count")

    def _read(self, suffix: str) -> dict[str, float]:
        name = f"feedmill_query_seconds{suffix}"
        samples = (one for family in REGISTRY.collect() for one in family.samples if one.name == name)
        return {one.labels["statement"]: one.value for one in samples if one.labels["store"] == self._store}

    def new(self) -> dict[str, float]:
        now, before = self._read("_count"), self._before
        self._before = now
        return {name: now[name] - before.get(name, 0) for name in now if now[name] != before.get(name, 0)}

    def seconds(self, statement: str) -> float:
        return self._read("_sum").get(statement, 0.0)


@pytest.fixture
async def warm(redis: "Redis", prefix: str) -> "Redis":
    """The client with an open connection to the node of `key(prefix)`."""
    await redis.get(key(prefix))
    return redis


def key(prefix: str) -> str:
    return f"{prefix}{{queries}}"


async def test_a_command_of_redis_is_measured_by_its_name(warm: "Redis", prefix: str) -> None:
    queries = Queries("redis")
    await warm.set(key(prefix), 1)
    await asyncio.gather(*(warm.get(key(prefix)) for _ in range(5)))
    measured = queries.new()
    assert (measured["SET"], measured["GET"]) == (1, 5)


async def test_a_pipeline_is_one_query(warm: "Redis", prefix: str) -> None:
    queries = Queries("redis")
    for is_transaction in (False, True):
        async with warm.pipeline(transaction=is_transaction) as pipe:
            for _ in range(3):
                pipe.incr(key(prefix))
            await pipe.execute()
    await warm.incr(key(prefix))
    assert queries.new() == {"pipeline": 2, "INCR": 1}


async def test_a_function_is_measured_without_its_version(warm: "Redis", prefix: str) -> None:
    functions = Functions(warm, Path(rate.__file__).parent / "rate.lua")
    await functions.call("take", [key(prefix)], 1, 1 << 52)
    queries = Queries("redis")
    await functions.call("take", [key(prefix)], 1, 1 << 52)
    assert queries.new() == {"take": 1}


async def test_an_answer_that_is_an_error_is_measured(warm: "Redis", prefix: str) -> None:
    await warm.set(key(prefix), "text")
    queries = Queries("redis")
    with pytest.raises(ResponseError):
        await warm.incr(key(prefix))
    async with warm.pipeline(transaction=False) as pipe:
        pipe.incr(key(prefix))
        pipe.get(key(prefix))
        await pipe.execute(raise_on_error=False)
    await warm.get(key(prefix))
    assert queries.new() == {"INCR": 1, "pipeline": 1, "GET": 1}


async def test_a_command_that_cannot_be_sent_spoils_nothing(warm: "Redis", prefix: str) -> None:
    queries = Queries("redis")
    unsendable: object = [1]
    async with warm.pipeline(transaction=False) as pipe:
        pipe.get(key(prefix))
        pipe.execute_command("SET", key(prefix), unsendable)
        with pytest.raises(DataError):
            await pipe.execute()
    await warm.get(key(prefix))
    assert queries.new() == {"GET": 1}


async def test_the_first_command_of_a_connection_has_its_own_name(
    store_env: dict[str, str], cluster_env: dict[str, str]
) -> None:
    for env in (store_env, {**store_env, **cluster_env}):
        queries = Queries("redis")
        async with open_redis(settings_for(Settings, env)) as redis:
            await redis.exists("no-such-key")
        assert queries.new()["EXISTS"] == 1


async def test_the_connections_of_redis_are_a_pool(redis: "Redis") -> None:
    before = sample("feedmill_pool_in_use", pool="redis")
    if isinstance(redis, RedisCluster):
        node = redis.get_default_node()
        connection = node.acquire_connection()
        assert sample("feedmill_pool_in_use", pool="redis") == before + 1
        node.release(connection)
    else:
        pool: Any = redis.connection_pool
        connection = await pool.get_connection()
        assert sample("feedmill_pool_in_use", pool="redis") == before + 1
        await pool.release(connection)
    assert sample("feedmill_pool_in_use", pool="redis") == before
    assert sample("feedmill_pool_size", pool="redis") >= redis_stores.POOL_SIZE


async def test_callers_who_wait_for_a_connection_are_counted(
    store_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_stores, "POOL_SIZE", 1)
    async with open_redis(settings_for(Settings, store_env), name="one-connection") as redis:
        pool: Any = redis.connection_pool
        connection = await pool.get_connection()
        waiting = [asyncio.ensure_future(redis.get("no-such-key")) for _ in range(3)]

        async def all_wait() -> bool:
            return sample("feedmill_pool_waiting", pool="one-connection") == len(waiting)

        await eventually(all_wait)
        await pool.release(connection)
        await asyncio.gather(*waiting)
        assert sample("feedmill_pool_waiting", pool="one-connection") == 0


@pytest.fixture
async def postgres(settings: Settings) -> AsyncIterator[Postgres]:
    async with open_postgres(settings, "postgres") as postgres:
        yield postgres


async def test_queries_of_postgres_are_measured_by_operation_and_table(postgres: Postgres) -> None:
    queries = Queries("postgres")
    await postgres.fetch("SELECT datname FROM pg_database WHERE oid = $1", 1)
    await postgres.execute("SELECT 1 FROM pg_database")
    async with postgres.transaction() as connection:
        await connection.fetchval("SELECT count(*) FROM pg_roles")
        await connection.fetchrow("SELECT rolname FROM pg_roles LIMIT 1")
        await connection.executemany("SELECT 1 FROM pg_class WHERE oid = $1", [(1,), (2,)])
    with pytest.raises(asyncpg.UndefinedTableError):
        await postgres.fetch("SELECT 1 FROM nowhere")
    expected = {"SELECT pg_database": 2, "BEGIN": 1, "SELECT pg_roles": 2, "SELECT pg_class": 1, "COMMIT": 1}
    assert queries.new() == {**expected, "SELECT nowhere": 1}


async def test_the_time_of_a_query_ends_with_its_rows(postgres: Postgres) -> None:
    queries = Queries("postgres")
    before = queries.seconds("SELECT pg_sleep")
    await postgres.fetch("SELECT pg_sleep(0.05)")
    assert 0.05 <= queries.seconds("SELECT pg_sleep") - before < 5


async def test_the_slots_of_postgres_are_a_pool(postgres: Postgres) -> None:
    before = sample("feedmill_pool_in_use", pool="postgres")
    async with postgres.connection():
        assert sample("feedmill_pool_in_use", pool="postgres") == before + 1
        assert sample("feedmill_pool_size", pool="postgres") >= POOL_SIZE
    assert sample("feedmill_pool_in_use", pool="postgres") == before


class Names(CassandraStore):
    cql = {
        "all": "SELECT name FROM schema_migrations",
        "put": "INSERT INTO schema_migrations (name, checksum) VALUES (?, ?)",
        "drop": "DELETE FROM schema_migrations WHERE name = ?",
    }

    async def read(self) -> set[str]:
        return {row.name for row in await self._rows("all")}

    async def replace(self, name: str) -> None:
        await self._cassandra.batch([self._bound("put", name, "x"), self._bound("drop", f"not {name}")])


async def test_queries_of_cassandra_are_measured_by_table_and_name(settings: Settings) -> None:
    keyspace = settings.keyspace("measured")
    await migrate(cassandra_migrations(settings, keyspace), NO_MIGRATIONS)
    async with Cassandra(settings, keyspace) as cassandra:
        queries = Queries("cassandra")
        names = await Names(cassandra).prepare()
        await cassandra.ready()
        assert queries.new() == {}  # probes and preparation are no queries of the service
        await names.replace("here")
        assert await names.read() == {"here"}
        assert queries.new() == {"batch schema_migrations.put": 1, "schema_migrations.all": 1}
        assert sample("feedmill_pool_size", pool="cassandra") >= 1
