"""PostgreSQL with asyncpg: connection pool and migrations."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
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
from libs.telemetry.calls import record_query, set_place

POOL_SIZE = 16
MAX_WAITING = 256  # calls that wait for a connection; admission control bounds the requests before
_TABLE = re.compile(r"(?:FROM|INTO|UPDATE)\s+(\w+)")
_MIGRATION_LOCK = 7_305_402_119  # any constant: all migrators of one database share it
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


class _StatelessConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    def get_reset_query(self) -> str:
        # No query changes the session, and the round trip of a reset is expensive: 13K instead of 23K queries/s.
        return ""


@cache
def _summary(sql: str) -> str:
    """The operation and the first table, such as `SELECT users`."""
    operation, table = sql.split(maxsplit=1)[0].rstrip(";"), _TABLE.search(sql)
    return f"{operation} {table[1]}" if table else operation


def _log_query(record: Any) -> None:
    record_query("postgres", _summary(record.query), record.elapsed, record.exception)


async def _log_queries(connection: Connection) -> None:
    connection.add_query_logger(_log_query)


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

    async def ready(self) -> bool:
        """A readiness check."""
        await self.fetchrow("SELECT 1")
        return True


@asynccontextmanager
async def open_postgres(settings: Settings, database: str) -> AsyncIterator[Postgres]:
    """Yield a client with a connection pool, which is closed at the end. Raises UnavailableError."""
    dsn = _dsn(settings, database)
    with _as_unavailable():
        pool = await asyncpg.create_pool(
            dsn,
            min_size=2,
            max_size=POOL_SIZE,
            command_timeout=POSTGRES.timeout_s * settings.timeout_factor,
            connection_class=_StatelessConnection,
            init=_log_queries,
        )
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
