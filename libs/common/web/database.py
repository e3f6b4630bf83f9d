"""Opens the PostgreSQL database of a deployable, with outbox, ids and readiness check."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from libs.common.kafka.outbox import OnCommit, Outbox
from libs.common.stores.postgres import Postgres, open_postgres
from libs.common.stores.postgres_leases import PostgresNodeLeases
from libs.common.stores.postgres_outbox import PostgresOutbox
from libs.common.web.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Database:
    """An open database. `postgres` is for adapters; `outbox` and `mint` for use cases."""

    postgres: Postgres
    outbox: Outbox
    mint: Callable[[], int]


async def open_database(runtime: Runtime[Any], on_commit: OnCommit | None = None) -> Database:
    """Open the deployable's own database and start to relay its outbox. `on_commit` receives committed events."""
    settings = runtime.settings
    postgres = await runtime.stack.enter_async_context(open_postgres(settings, settings.keyspace(runtime.name)))
    runtime.ready_checks["postgres"] = postgres.ready
    runtime.check_migrated(await postgres.migrations())
    outbox = Outbox(PostgresOutbox(postgres), await runtime.producer(), on_commit)
    minter = await runtime.minter(PostgresNodeLeases(postgres))
    runtime.relay(outbox)
    return Database(postgres, outbox, minter.mint)
