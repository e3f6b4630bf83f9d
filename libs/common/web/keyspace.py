"""A Cassandra keyspace of a deployable's own, with outbox, ids, idempotency keys and readiness."""

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
    """An open keyspace. Adapters take `cassandra` and `records`, use cases take `outbox`, `mint` and `idempotency`."""

    cassandra: Cassandra
    records: CassandraOutbox
    outbox: Outbox
    mint: Callable[[], int]
    idempotency: Idempotency


async def open_cassandra(runtime: Runtime[Any], keyspace: str) -> Cassandra:
    """A client of a keyspace, also of another deployable's, with its readiness check."""
    settings = runtime.settings
    cassandra = await runtime.stack.enter_async_context(Cassandra(settings, settings.keyspace(keyspace)))
    runtime.ready_checks["cassandra"] = cassandra.ready
    return cassandra


async def open_keyspace(runtime: Runtime[Any], on_commit: OnCommit | None = None) -> Keyspace:
    """The deployable's own keyspace; its outbox is relayed from now on. `on_commit` is told of committed events."""
    cassandra = await open_cassandra(runtime, runtime.name)
    records = await CassandraOutbox(cassandra).prepare()
    outbox = Outbox(records, await runtime.producer(), on_commit)
    minter = await runtime.minter(await CassandraNodeLeases(cassandra).prepare())
    runtime.relay(outbox)
    idempotency = await Idempotency(cassandra, minter.mint).prepare()
    return Keyspace(cassandra, records, outbox, minter.mint, idempotency)
