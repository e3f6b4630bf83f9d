"""An asyncio wrapper of the Cassandra driver. It makes futures awaitable and translates errors."""

import asyncio
import re
import time
from collections import namedtuple
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar, Self

from cassandra import (
    AlreadyExists,
    ConsistencyLevel,
    DriverException,
    OperationTimedOut,
    RequestValidationException,
    Timeout,
)
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, ResponseFuture, Session
from cassandra.connection import ConnectionException
from cassandra.policies import (
    ConstantReconnectionPolicy,
    DCAwareRoundRobinPolicy,
    FallthroughRetryPolicy,
    TokenAwarePolicy,
)
from cassandra.query import BatchStatement, BatchType, PreparedStatement

from libs.common.core.dependency import Dependency
from libs.common.core.errors import UnavailableError
from libs.common.core.policies import CASSANDRA_READ, CASSANDRA_WRITE, Policy
from libs.common.core.settings import Settings
from libs.common.stores.migrations import Migration
from libs.telemetry.calls import Query, set_place

CONNECT_S = 3.0
CONTROL_S = 2.0  # times timeout_factor: for the driver's own queries about the cluster
RECONNECT_S = 1.0  # by default the driver doubles its pause, up to ten minutes after the node is back
HEARTBEAT_S = 5  # a connection to a vanished server is closed after twice that; by default after 60 s
IN_FLIGHT = 512  # a connection has 1,024 stream ids; without a free one the driver would block the event loop
TABLE = re.compile(r"(?:FROM|INTO|UPDATE)\s+(\w+)")
CONDITIONAL = re.compile(r"\sIF\s")  # a lightweight transaction; values are parameters, so they cannot match
# Many of them on one partition delay each other, which says nothing about the cluster.
CONDITIONAL_WRITE = replace(CASSANDRA_WRITE.once, contention=(TimeoutError, OperationTimedOut, Timeout))
# Needs a quorum of replicas; the coordinator alone would answer for system.local. The row need not exist.
PROBE = "SELECT name FROM schema_migrations WHERE name = 'probe'"
MIGRATE_S = 60.0
_LOCK_TTL_S = 120
_LOCK_POLL_S = 0.3
Row = Any
Bound = tuple[PreparedStatement, Sequence[Any]]


@cache
def _row_type(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names, rename=True)


def _rows(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[Row]:
    """Rows as named tuples. The driver's own factory creates a type per answer, which is slow for small answers."""
    return [*map(_row_type(tuple(names))._make, rows)]


def _profile(settings: Settings) -> ExecutionProfile:
    return ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy()),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
        retry_policy=FallthroughRetryPolicy(),  # retries are ours
        request_timeout=CASSANDRA_WRITE.timeout_s * settings.timeout_factor,
        row_factory=_rows,
    )


def _cluster(settings: Settings) -> Cluster:
    points = [point.rsplit(":", 1) for point in settings.cassandra_contact_points.split(",")]
    return Cluster(
        [host for host, _ in points],
        port=int(points[0][1]),
        execution_profiles={EXEC_PROFILE_DEFAULT: _profile(settings)},
        protocol_version=5,
        reconnection_policy=ConstantReconnectionPolicy(RECONNECT_S, max_attempts=None),
        connect_timeout=CONNECT_S * max(1.0, settings.timeout_factor),
        control_connection_timeout=CONTROL_S * max(1.0, settings.timeout_factor),
        idle_heartbeat_interval=HEARTBEAT_S,
        idle_heartbeat_timeout=HEARTBEAT_S,
    )


class RejectedError(RuntimeError):
    """Cassandra rejects the statement itself; retrying does not help."""


@cache
def _policy_of(cql: str, *, is_idempotent: bool) -> Policy:
    if cql.startswith("SELECT"):
        return CASSANDRA_READ
    if CONDITIONAL.search(cql):
        return CONDITIONAL_WRITE
    return CASSANDRA_WRITE if is_idempotent else CASSANDRA_WRITE.once


class Cassandra:
    """A connection to one keyspace.

    Each method raises UnavailableError if the cluster does not answer in time.
    """

    def __init__(self, settings: Settings, keyspace: str) -> None:
        self._settings = settings
        self._keyspace = keyspace
        self._cluster: Cluster | None = None
        self._session: Session | None = None
        failures = (NoHostAvailable, OperationTimedOut, DriverException, ConnectionException)
        self._dependency = Dependency("cassandra", settings, self._probe, failures, max_concurrent=IN_FLIGHT)

    async def __aenter__(self) -> Self:
        self._cluster = _cluster(self._settings)
        try:
            self._session = await asyncio.to_thread(self._cluster.connect, self._keyspace)
            host, _, port = self._settings.cassandra_contact_points.partition(",")[0].rpartition(":")
            set_place("cassandra", self._keyspace, host, int(port))
        except (NoHostAvailable, DriverException) as error:
            self._cluster.shutdown()
            raise UnavailableError("Cassandra does not respond.") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._dependency.breaker.close()
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.shutdown)

    @property
    def _open(self) -> Session:
        assert self._session is not None, "use `async with`"
        return self._session

    async def prepare(self, cql: str, name: str) -> PreparedStatement:
        """Prepare a statement. Metrics contain its table and `name`, such as `posts.get`.

        All statements except lightweight transactions must be idempotent, because they are retried. A table that does
        not exist also raises UnavailableError, because its migration may run later.
        """
        try:
            statement = await asyncio.to_thread(self._open.prepare, cql)
        except (NoHostAvailable, DriverException, ConnectionException) as error:
            raise UnavailableError("Cassandra does not prepare a statement.") from error
        statement.is_idempotent = not CONDITIONAL.search(cql)
        operation, table = cql.split(maxsplit=1)[0], TABLE.search(cql)
        statement.table = table[1] if table else ""
        statement.measured_as = f"{statement.table}.{name}"
        statement.summary = f"{operation} {statement.table}".rstrip()
        return statement

    async def execute(self, statement: PreparedStatement | str, parameters: Sequence[Any] = ()) -> list[Row]:
        """The rows of the first page (at most the driver's fetch size, 5,000). A string is not measured."""
        cql = statement if isinstance(statement, str) else statement.query_string
        policy = _policy_of(cql, is_idempotent=bool(getattr(statement, "is_idempotent", False)))
        rows = await self._dependency.call(policy, lambda: self._measured(statement, parameters))
        return list(rows or ())

    async def one(self, statement: PreparedStatement, parameters: Sequence[Any] = ()) -> Row | None:
        """The first row, or None."""
        rows = await self.execute(statement, parameters)
        return rows[0] if rows else None

    async def applied(self, statement: PreparedStatement, parameters: Sequence[Any] = ()) -> bool:
        """Execute a conditional statement; true if it took effect."""
        row = await self.one(statement, parameters)
        return bool(row and row[0])

    async def batch(self, statements: Sequence[Bound], *, logged: bool = True) -> None:
        """Write all statements or none (logged), or several rows of one partition together (unlogged)."""
        if not statements:
            return
        batch = BatchStatement(BatchType.LOGGED if logged else BatchType.UNLOGGED)
        batch.is_idempotent = all(statement.is_idempotent for statement, _ in statements)
        first = statements[0][0]
        batch.measured_as, batch.summary = f"batch {first.measured_as}", f"BATCH {first.table}"
        for statement, parameters in statements:
            batch.add(statement, parameters)
        policy = CASSANDRA_WRITE if batch.is_idempotent else CASSANDRA_WRITE.once
        await self._dependency.call(policy, lambda: self._measured(batch, None))

    async def _measured(self, statement: Any, parameters: Sequence[Any] | None) -> list[Row] | None:
        if isinstance(statement, str):
            return await self._bridge(statement, parameters)
        with Query("cassandra", statement.measured_as, statement.summary):
            return await self._bridge(statement, parameters)

    async def _bridge(self, statement: Any, parameters: Sequence[Any] | None) -> list[Row] | None:
        loop = asyncio.get_running_loop()
        result: asyncio.Future[list[Row] | None] = loop.create_future()

        def settle(value: list[Row] | None, error: BaseException | None) -> None:
            if result.done():
                return
            if error is None:
                result.set_result(value)
            else:
                result.set_exception(error)

        future: ResponseFuture = self._open.execute_async(statement, parameters)
        future.add_callbacks(
            lambda rows: loop.call_soon_threadsafe(settle, rows, None),
            lambda error: loop.call_soon_threadsafe(settle, None, error),
        )
        try:
            return await result
        except RequestValidationException as error:  # Cassandra works; the statement is wrong
            raise RejectedError(str(error)) from error

    async def _probe(self) -> None:
        await self._bridge(PROBE, None)

    async def migrations(self) -> set[str]:
        """Return the names of the migrations that ran."""
        with suppress(RejectedError):  # none
            return {row.name for row in await self.execute("SELECT name FROM schema_migrations")}
        return set()

    async def ready(self) -> bool:
        """A readiness check."""
        await self.execute(PROBE)
        return True


class CassandraStore:
    """Base of adapters. Subclasses list their statements by name in `cql`; `prepare` prepares them once."""

    cql: ClassVar[Mapping[str, str]] = {}

    def __init__(self, cassandra: Cassandra) -> None:
        self._cassandra = cassandra
        self._statements: Mapping[str, PreparedStatement] = {}

    async def prepare(self) -> Self:
        """Prepare the statements; call it before any other method. Raises UnavailableError."""
        prepared = await asyncio.gather(*(self._cassandra.prepare(cql, name) for name, cql in self.cql.items()))
        self._statements = dict(zip(self.cql, prepared, strict=True))
        return self

    def _bound(self, name: str, *parameters: object) -> Bound:
        return self._statements[name], parameters

    async def _rows(self, name: str, *parameters: object) -> list[Row]:
        return await self._cassandra.execute(self._statements[name], parameters)

    async def _row(self, name: str, *parameters: object) -> Row | None:
        return await self._cassandra.one(self._statements[name], parameters)

    async def _applied(self, name: str, *parameters: object) -> bool:
        return await self._cassandra.applied(self._statements[name], parameters)


class CassandraMigrations:
    """Implements `MigrationStore`. A lock in the keyspace lets one process migrate at a time."""

    suffix = "cql"

    def __init__(self, session: Session) -> None:
        self._session = session

    async def run(self, cql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Execute one statement; schema changes wait until all nodes agree."""
        return list(await asyncio.to_thread(self._session.execute, cql, parameters, MIGRATE_S) or ())

    async def applied(self) -> dict[str, str]:
        return {row.name: row.checksum for row in await self.run("SELECT name, checksum FROM schema_migrations")}

    async def apply(self, migration: Migration) -> None:
        for statement in migration.statements():
            with suppress(AlreadyExists):  # created by a process that died while it ran this file
                await self.run(statement)
        record = "INSERT INTO schema_migrations (name, checksum, applied_at) VALUES (%s, %s, toTimestamp(now()))"
        await self.run(record, (migration.name, migration.checksum))


@asynccontextmanager
async def cassandra_migrations(settings: Settings, keyspace: str) -> AsyncIterator[CassandraMigrations]:
    """Create the keyspace if it is absent, and lock its schema for this process."""
    cluster = _cluster(settings)
    try:
        store = CassandraMigrations(session := await asyncio.to_thread(cluster.connect))
        await store.run(f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {settings.cassandra_replication}")
        await asyncio.to_thread(session.set_keyspace, keyspace)
        await store.run(
            "CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY, checksum text, applied_at timestamp)"
        )
        await store.run("CREATE TABLE IF NOT EXISTS migration_lock (id int PRIMARY KEY, holder text)")
        holder = f"{time.time_ns()}"
        lock = f"INSERT INTO migration_lock (id, holder) VALUES (1, %s) IF NOT EXISTS USING TTL {_LOCK_TTL_S}"
        while not (await store.run(lock, (holder,)))[0][0]:  # noqa: ASYNC110 - another process holds the lock
            await asyncio.sleep(_LOCK_POLL_S)
        try:
            yield store
        finally:
            await store.run("DELETE FROM migration_lock WHERE id = 1 IF holder = %s", (holder,))
    finally:
        await asyncio.to_thread(cluster.shutdown)
