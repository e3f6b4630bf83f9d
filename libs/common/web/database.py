"""A PostgreSQL database of a deployable's own, with outbox, ids and readiness."""

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
    """An open database. Adapters take `postgres`, use cases take `outbox` and `mint`."""

    postgres: Postgres
    outbox: Outbox
    mint: Callable[[], int]


async def open_database(runtime: Runtime[Any], on_commit: OnCommit | None = None) -> Database:
    """The deployable's own database; its outbox is relayed from now on. `on_commit` is told of committed events."""
    settings = runtime.settings
    postgres = await runtime.stack.enter_async_context(open_postgres(settings, settings.keyspace(runtime.name)))
    runtime.ready_checks["postgres"] = postgres.ready
    outbox = Outbox(PostgresOutbox(postgres), await runtime.producer(), on_commit)
    minter = await runtime.minter(PostgresNodeLeases(postgres))
    runtime.relay(outbox)
    return Database(postgres, outbox, minter.mint)
