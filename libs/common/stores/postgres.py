"""PostgreSQL with asyncpg: connection pool and migrations."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import lru_cache, wraps
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from libs.common.core.breaker import TICK_S, CircuitBreaker
from libs.common.core.context import remaining_s
from libs.common.core.dependency import take_slot
from libs.common.core.errors import DeadlineError, UnavailableError
from libs.common.core.fairness import FairSemaphore
from libs.common.core.policies import POSTGRES
from libs.common.core.settings import Settings
from libs.common.stores.migrations import Migration
from libs.telemetry.calls import Query, set_place

POOL_SIZE = 16
MAX_WAITING = 256  # calls that wait for a connection; admission control bounds the requests before
_MIGRATION_LOCK = 7_305_402_119  # any constant: all migrators of one database share it
_STATEMENTS_MAX = 1_000
_NESTED = re.compile(r"\([^()]*\)")
_OPERATION = re.compile(r"\b(?:SELECT|INSERT|UPDATE|DELETE)\b")
_TABLE = re.compile(r"(?:\bFROM|\bJOIN|\bINTO|^UPDATE)\s+(\w+)\b(?!\(|…)")  # no function such as unnest()
_FUNCTION = re.compile(r"\w+(?=\()")
Connection = Any  # asyncpg has no types
_NO_ANSWER = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)


def _dsn(settings: Settings, database: str) -> str:
    parts = urlsplit(settings.postgres_dsn.get_secret_value())
    return urlunsplit(parts._replace(path=f"/{database}"))


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except _NO_ANSWER as error:
        if remaining_s() < TICK_S:
            raise DeadlineError from error
        raise UnavailableError("PostgreSQL does not respond.") from error


@lru_cache(_STATEMENTS_MAX)
def query_summary(sql: str) -> str:
    """Return the operation and its table or function, such as `SELECT sessions`.

    This is `db.query.summary` of OpenTelemetry without the tables of subqueries.
    """
    outer = sql
    while (shorter := _NESTED.sub("…", outer)) != outer:
        outer = shorter
    if (operation := _OPERATION.search(outer)) is None:
        return sql.split(maxsplit=1)[0].rstrip(";")  # such as BEGIN
    table = _TABLE.search(outer[operation.start() :]) or _TABLE.search(sql)
    function = _FUNCTION.search(sql)
    target = table[1] if table else function[0] if function else ""
    return f"{operation[0]} {target}".rstrip()


def _measured(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(method)
    async def call(self: Connection, query: str, *args: Any, **options: Any) -> Any:
        with Query("postgres", query_summary(query)):
            return await method(self, query, *args, **options)

    return call


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    execute = _measured(asyncpg.Connection.execute)
    executemany = _measured(asyncpg.Connection.executemany)
    fetch = _measured(asyncpg.Connection.fetch)
    fetchrow = _measured(asyncpg.Connection.fetchrow)
    fetchval = _measured(asyncpg.Connection.fetchval)

    def get_reset_query(self) -> str:
        # No query changes the session, and the round trip of a reset is expensive: 13K instead of 23K queries/s.
        return ""


class Postgres:
    """A connection pool for one database.

    All methods but `close` raise UnavailableError if the server does not answer, and DeadlineError after the deadline
    of the request. They raise OverloadedError if too many calls wait for a connection.
    """

    def __init__(self, pool: "asyncpg.Pool[Any]", dsn: str, settings: Settings) -> None:
        self._pool = pool
        self._dsn = dsn
        self._timeout_s = POSTGRES.timeout_s * settings.timeout_factor
        self._slots = FairSemaphore("postgres", POOL_SIZE, queue=MAX_WAITING)
        self._breaker = CircuitBreaker("postgres", self._probe, settings.timeout_factor)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection outside of a transaction."""
        if not self._breaker.allows_calls():
            raise UnavailableError("PostgreSQL does not respond.")
        slot = await take_slot(self._slots, self._timeout_s)  # as many as connections, so acquire() does not queue
        with slot, _as_unavailable(), self._breaker.watch(_NO_ANSWER, slow_after_s=self._timeout_s / 2):
            async with self._pool.acquire(timeout=min(self._timeout_s, remaining_s())) as connection:
                yield connection

    async def _probe(self) -> None:
        # A new connection, because callers may hold all of the pool. A server without free ones is healthy.
        with suppress(asyncpg.TooManyConnectionsError):
            connection = await asyncpg.connect(self._dsn)
            try:
                await connection.execute("SELECT 1")
                await connection.close()
            finally:
                connection.terminate()

    async def close(self) -> None:
        """Stop the circuit breaker; `open_postgres` closes the pool."""
        await self._breaker.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, sql: str, *parameters: object) -> list[Any]:
        async with self.connection() as connection:
            return list(await connection.fetch(sql, *parameters))

    async def fetchrow(self, sql: str, *parameters: object) -> Any | None:
        """The first row, or None."""
        async with self.connection() as connection:
            return await connection.fetchrow(sql, *parameters)

    async def execute(self, sql: str, *parameters: object) -> None:
        async with self.connection() as connection:
            await connection.execute(sql, *parameters)

    async def migrations(self) -> set[str]:
        """Return the names of the migrations that ran."""
        with suppress(asyncpg.UndefinedTableError):  # none
            return {row["name"] for row in await self.fetch("SELECT name FROM schema_migrations")}
        return set()

    async def ready(self) -> bool:
        """A readiness check."""
        await self.fetchrow("SELECT 1")
        return True


@asynccontextmanager
async def open_postgres(settings: Settings, database: str) -> AsyncIterator[Postgres]:
    """Yield a client with a connection pool, which is closed at the end. Raises UnavailableError."""
    dsn = _dsn(settings, database)
    try:
        with _as_unavailable():
            pool = await asyncpg.create_pool(
                dsn,
                min_size=2,
                max_size=POOL_SIZE,
                command_timeout=POSTGRES.timeout_s * settings.timeout_factor,
                connection_class=_Connection,
            )
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise UnavailableError("PostgreSQL refuses the connection of FEEDMILL_POSTGRES_DSN.") from error
    address = urlsplit(dsn)
    set_place("postgres", database, address.hostname or "", address.port or 5432)
    postgres = Postgres(pool, dsn, settings)
    try:
        yield postgres
    finally:
        await postgres.close()
        await pool.close()


async def _create_database(settings: Settings, database: str) -> None:
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
            await connection.execute(f'CREATE DATABASE "{database}"')
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        pass  # another migrator was faster
    finally:
        await connection.close()


class PostgresMigrations:
    """Implements `MigrationStore`. An advisory lock lets one process migrate at a time."""

    suffix = "sql"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def applied(self) -> dict[str, str]:
        rows = await self._connection.fetch("SELECT name, checksum FROM schema_migrations")
        return {row["name"]: row["checksum"] for row in rows}

    async def apply(self, migration: Migration) -> None:
        async with self._connection.transaction():
            await self._connection.execute(migration.text)
            record = "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)"
            await self._connection.execute(record, migration.name, migration.checksum)


@asynccontextmanager
async def postgres_migrations(settings: Settings, database: str) -> AsyncIterator[PostgresMigrations]:
    """Create the database if it is absent, and lock its schema for this process."""
    await _create_database(settings, database)
    connection = await asyncpg.connect(_dsn(settings, database))
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        yield PostgresMigrations(connection)
    finally:
        await connection.close()
