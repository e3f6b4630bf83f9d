"""Opens the Cassandra keyspace of a deployable, with outbox, ids, idempotency keys and readiness check."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from libs.common.kafka.outbox import OnCommit, Outbox
from libs.common.stores.cassandra import Cassandra
from libs.common.stores.cassandra_leases import CassandraNodeLeases
from libs.common.stores.cassandra_outbox import CassandraOutbox
from libs.common.stores.idempotency import Idempotency
from libs.common.web.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Keyspace:
    """An open keyspace. `cassandra` and `records` are for adapters; `outbox`, `mint`, `idempotency` for use cases."""

    cassandra: Cassandra
    records: CassandraOutbox
    outbox: Outbox
    mint: Callable[[], int]
    idempotency: Idempotency


async def open_cassandra(runtime: Runtime[Any], keyspace: str) -> Cassandra:
    """Open a keyspace, which may belong to another deployable, and add a readiness check."""
    settings = runtime.settings
    cassandra = await runtime.stack.enter_async_context(Cassandra(settings, settings.keyspace(keyspace)))
    runtime.ready_checks["cassandra"] = cassandra.ready
    return cassandra


async def open_keyspace(runtime: Runtime[Any], on_commit: OnCommit | None = None) -> Keyspace:
    """Open the deployable's own keyspace and start to relay its outbox. `on_commit` receives committed events."""
    cassandra = await open_cassandra(runtime, runtime.name)
    runtime.check_migrated(await cassandra.migrations())
    records = await CassandraOutbox(cassandra).prepare()
    outbox = Outbox(records, await runtime.producer(), on_commit)
    minter = await runtime.minter(await CassandraNodeLeases(cassandra).prepare())
    runtime.relay(outbox)
    idempotency = await Idempotency(cassandra, minter.mint).prepare()
    return Keyspace(cassandra, records, outbox, minter.mint, idempotency)
