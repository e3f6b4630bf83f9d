"""Outbox, id leases and idempotency keys: one set of tests, each run on every real store that has the part."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from cassandra.query import PreparedStatement

from libs.common.core.errors import ConflictError, KeyReusedError, UnavailableError
from libs.common.core.ids import LEASE_MS, IdMinter, NodeLeaseStore, NoLeaseError, now_ms
from libs.common.core.settings import Settings
from libs.common.kafka.outbox import PAGE, Outbox, OutboxStore
from libs.common.kafka.producer import EventProducer
from libs.common.stores.cassandra import Cassandra, cassandra_migrations
from libs.common.stores.cassandra_leases import CassandraNodeLeases
from libs.common.stores.cassandra_outbox import LATE_US, CassandraOutbox
from libs.common.stores.idempotency import Answer, Idempotency, Reservation, StillRunningError
from libs.common.stores.migrations import MigrationError, migrate
from libs.common.stores.postgres import Postgres, open_postgres, postgres_migrations
from libs.common.stores.postgres_leases import PostgresNodeLeases
from libs.common.stores.postgres_outbox import PostgresOutbox
from libs.common.tests.leases import FewNodes
from libs.contracts.base import Event, Payload
from libs.contracts.events import PostDeleted
from libs.contracts.records import EventRecord, encode

pytestmark = pytest.mark.stores
NO_MIGRATIONS = Path(__file__).parent / "no-such-folder"
STEPS = 40  # of each minter: renewals, steps of its clock
KILLED = 0.1  # of the steps
Insert = Callable[[list[EventRecord]], Awaitable[None]]


class SteppingClock:
    """The machine's, wrong by `skew_ms`."""

    skew_ms = 0

    def __call__(self) -> int:
        return now_ms() + self.skew_ms


@pytest.fixture(scope="session")
async def cassandra(settings: Settings) -> AsyncIterator[Cassandra]:
    keyspace = settings.keyspace("parts")
    await asyncio.gather(*(migrate(cassandra_migrations(settings, keyspace), NO_MIGRATIONS) for _ in range(2)))
    async with Cassandra(settings, keyspace) as cassandra:
        yield cassandra


@pytest.fixture(scope="session")
async def postgres(settings: Settings) -> AsyncIterator[Postgres]:
    database = settings.keyspace("parts")
    ran = await asyncio.gather(*(migrate(postgres_migrations(settings, database), NO_MIGRATIONS) for _ in range(2)))
    assert sorted(map(len, ran)) == [0, 1]
    async with open_postgres(settings, database) as postgres:
        yield postgres


async def test_a_store_without_tables_is_unavailable(settings: Settings, cassandra: Cassandra) -> None:
    """So a process that starts before its migrations waits for them."""
    with pytest.raises(UnavailableError, match="PostgreSQL refuses"):
        async with open_postgres(settings, settings.keyspace("nobody")):
            pass
    with pytest.raises(UnavailableError):
        async with Cassandra(settings, settings.keyspace("nobody")):
            pass
    with pytest.raises(UnavailableError, match="does not prepare"):
        await cassandra.prepare("SELECT a FROM no_such_table", "none")


async def test_the_migrations_that_ran_are_known(cassandra: Cassandra, postgres: Postgres) -> None:
    assert all(name.startswith("shared_migrations/") for name in await cassandra.migrations())
    assert await postgres.migrations()


@pytest.fixture(params=["cassandra", "postgres"])
async def outbox(
    request: pytest.FixtureRequest, cassandra: Cassandra, postgres: Postgres
) -> tuple[OutboxStore, Insert]:
    if request.param == "cassandra":
        store = await CassandraOutbox(cassandra).prepare()

        async def insert(records: list[EventRecord]) -> None:
            await cassandra.batch(store.inserts(records))

        return store, insert

    async def insert_rows(records: list[EventRecord]) -> None:
        async with postgres.transaction() as connection:
            await PostgresOutbox.insert(connection, records)

    return PostgresOutbox(postgres), insert_rows


@pytest.fixture(params=["cassandra", "postgres"])
async def leases(request: pytest.FixtureRequest, cassandra: Cassandra, postgres: Postgres) -> NodeLeaseStore:
    if request.param == "cassandra":
        return await CassandraNodeLeases(cassandra).prepare()
    return PostgresNodeLeases(postgres)


def some_records(count: int) -> list[EventRecord]:
    author = uuid4().int >> 66
    events = [
        Event(payload=PostDeleted(post_id=i, author_id=author), entity=f"{author}:{i}", entity_version=1)
        for i in range(count)
    ]
    return [encode(event, "tests") for event in events]


async def test_the_relay_publishes_what_a_crash_left_behind(
    outbox: tuple[OutboxStore, Insert], producer: EventProducer
) -> None:
    store, insert = outbox
    records = some_records(5)
    await insert(records)
    assert await store.lead()
    relay = Outbox(store, producer, clock=lambda: time.time() + 500)
    kept = {r.event_id: r for r in await store.oldest(1_000, 0)}
    assert await store.size(1_000) >= len(records)
    assert await store.size(2) == 2
    for record in records:
        assert replace(kept[record.event_id], created_us=record.created_us) == record
    while await relay.relay_once():
        assert relay.waited_s > 490
    assert relay.waited_s == 0
    assert await store.oldest(1_000, 0) == []


async def test_the_direct_way_leaves_nothing_to_the_relay(
    outbox: tuple[OutboxStore, Insert], producer: EventProducer
) -> None:
    store, insert = outbox
    told: list[Payload] = []

    async def on_commit(payloads: Sequence[Payload]) -> None:
        told.extend(payloads)

    direct = Outbox(store, producer, on_commit)
    task = asyncio.create_task(direct.run_direct())
    while await direct.relay_once():
        pass
    records = some_records(3)
    await insert(records)
    await direct.committed(records)
    assert told == [record.payload for record in records]
    ids = {record.event_id for record in records}
    async with asyncio.timeout(20):
        while ids & {record.event_id for record in await store.oldest(1_000, 0)}:
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_is_committed_later_is_told_later(
    outbox: tuple[OutboxStore, Insert], producer: EventProducer, settings: Settings
) -> None:
    store, insert = outbox
    *left_behind, last = some_records(PAGE + 50)
    for start in range(0, len(left_behind), 50):
        await insert(left_behind[start : start + 50])
    publisher = Outbox(store, producer)
    direct = asyncio.create_task(publisher.run_direct())
    last = replace(last, created_us=time.time_ns() // 1_000)
    await insert([last])
    await publisher.committed([last])
    while await publisher.relay_once():
        pass
    told: dict[bytes, None] = {}
    topic = settings.topic(last.topic)
    async with (
        asyncio.timeout(20),
        AIOKafkaConsumer(topic, bootstrap_servers=settings.kafka_bootstrap, auto_offset_reset="earliest") as consumer,
    ):
        while last.value not in told:
            record = await consumer.getone()
            if record.key == last.key.encode():
                told[record.value] = None
    assert list(told) == [record.value for record in [*left_behind, last]]
    direct.cancel()
    await asyncio.gather(direct, return_exceptions=True)


async def test_what_the_relay_has_seen_empty_is_not_read_again_but_for_late_writes(cassandra: Cassandra) -> None:
    now_s = time.time()
    store = await CassandraOutbox(cassandra, lambda: now_s).prepare()
    late_s = LATE_US / 1_000_000

    async def done_us() -> set[int]:
        return {row.done_us for row in await cassandra.execute("SELECT done_us FROM outbox_progress")}

    async def forget_all() -> None:
        await store.delete(await store.oldest(1_000, 0))

    await cassandra.execute("TRUNCATE outbox_progress")
    await forget_all()
    (begun,) = await done_us()  # Cassandra may have been down a moment ago
    now_s += late_s
    assert await store.oldest(1_000, 0) == []
    (reached,) = await done_us()
    assert reached > begun
    assert reached == int((now_s - late_s) * 1_000_000)
    (late,) = [replace(record, created_us=reached + 1) for record in some_records(1)]
    await cassandra.batch(store.inserts([late]))
    now_s += late_s + 100
    assert [record.event_id for record in await store.oldest(1_000, 0)] == [late.event_id]
    assert min(await done_us()) == late.created_us  # that of the shard where it waits
    assert await store.size(1_000) == 1
    await store.delete([late])
    await cassandra.execute("TRUNCATE outbox_progress")  # its marks are ahead of the clock


async def test_young_records_are_left_to_the_direct_way(outbox: tuple[OutboxStore, Insert]) -> None:
    store, insert = outbox
    records = some_records(1)
    await insert(records)
    assert records[0].event_id not in {record.event_id for record in await store.oldest(1_000, 60)}
    await store.delete(records)


async def test_one_of_many_gets_a_lease(leases: NodeLeaseStore) -> None:
    node = int(time.time_ns() % 1_000_000_000)
    assert await leases.until_ms(node) is None
    for seen, until in ((None, 100), (100, 200)):
        taken = await asyncio.gather(*(leases.extend(node, seen, until) for _ in range(8)))
        assert taken.count(True) == 1
    assert await leases.until_ms(node) == 200
    assert not await leases.extend(node, 100, 300)


async def test_minters_on_the_same_nodes_never_repeat(leases: NodeLeaseStore) -> None:
    """With clocks that are apart and step by up to 5 s, and processes that are killed and begin again."""
    seed = random.getrandbits(32)
    print("seed", seed)
    rng = random.Random(seed)
    shared = FewNodes(leases, first=rng.randrange(1_000_000_000))
    minted: list[int] = []

    async def process() -> None:
        clock = SteppingClock()
        minter, last = IdMinter(shared, clock), -1
        for _ in range(STEPS):
            clock.skew_ms += rng.choice((0, rng.randint(-5_000, 5_000), LEASE_MS // 2))
            if rng.random() < KILLED:
                minter, last = IdMinter(shared, clock), -1
            with suppress(NoLeaseError):
                await minter.renew()
                made = minter.mint()
                assert made > last, "went back"
                last = made
                minted.append(shared.physical(made))

    await asyncio.gather(*(process() for _ in range(4)))
    assert minted
    assert len(set(minted)) == len(minted)


class CountingCassandra(Cassandra):
    """Counts conditional writes: those to one partition keep one another from ending."""

    conditional_writes = 0

    async def applied(self, statement: PreparedStatement, parameters: Sequence[Any] = ()) -> bool:
        self.conditional_writes += 1
        return await super().applied(statement, parameters)


@pytest.mark.parametrize("timeout_factor", [1.0, 4.0])  # of a cluster, of `make up` and containers
async def test_one_key_creates_once(cassandra: Cassandra, settings: Settings, timeout_factor: float) -> None:
    minted = iter(range(1, 1_000))
    created: list[int] = []
    may_end = asyncio.Event()

    async def create(reserved: Reservation) -> Answer:
        created.append(reserved.resource_id)
        await may_end.wait()
        return Answer(201, b'{"id":%d}' % reserved.resource_id)

    hurried = settings.model_copy(update={"timeout_factor": timeout_factor})
    account, key = uuid4().int >> 66, uuid4().hex
    async with CountingCassandra(hurried, settings.keyspace("parts")) as store:
        keys = await Idempotency(store, lambda: next(minted)).prepare()
        first, *repeats = [asyncio.create_task(keys.run(account, key, b"body", create)) for _ in range(50)]
        refused = await asyncio.gather(*repeats, return_exceptions=True)
        assert {type(one) for one in refused} == {StillRunningError}
        assert store.conditional_writes == 1
        with pytest.raises(KeyReusedError):
            await keys.run(account, key, b"other body", create)
        may_end.set()
        answer = await first
        assert answer == await keys.run(account, key, b"body", create) == Answer(201, b'{"id":%d}' % created[0])
        with pytest.raises(KeyReusedError):
            await keys.run(account, key, b"other body", create)
    assert len(created) == 1


async def test_a_key_that_another_process_runs_is_still_running(cassandra: Cassandra) -> None:
    one, other = [await Idempotency(cassandra, lambda: 1).prepare() for _ in range(2)]

    async def create(_: Reservation) -> Answer:
        with pytest.raises(StillRunningError):
            await other.run(1, key, b"body", create)
        return Answer(201, b"{}")

    key = uuid4().hex
    assert await one.run(1, key, b"body", create) == await other.run(1, key, b"body", create)


class FailingCassandra(Cassandra):
    """Loses the answers to statements that begin with `losing`; executes none that begin with `refusing`."""

    losing = refusing = "nothing"

    async def applied(self, statement: PreparedStatement, parameters: Sequence[Any] = ()) -> bool:
        if statement.query_string.startswith(self.refusing):
            raise UnavailableError
        applied = await super().applied(statement, parameters)
        if statement.query_string.startswith(self.losing):
            raise UnavailableError
        return applied


@pytest.mark.usefixtures("cassandra")
@pytest.mark.parametrize(
    ("losing", "refusing"),
    [("INSERT", "nothing"), ("nothing", "UPDATE idempotency_keys SET status")],
)
async def test_a_try_that_the_store_left_unfinished_is_repeated_at_once(
    settings: Settings, losing: str, refusing: str
) -> None:
    """The second try meets a store that is unavailable; the third takes the key over, under the same id."""
    minted = iter(range(1, 1_000))
    created: set[int] = set()

    async def create(reserved: Reservation) -> Answer:
        created.add(reserved.resource_id)
        return Answer(201, b"{}")

    key = uuid4().hex
    async with FailingCassandra(settings, settings.keyspace("parts")) as store:
        keys = await Idempotency(store, lambda: next(minted)).prepare()
        store.losing, store.refusing = losing, refusing
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await keys.run(1, key, b"", create)
            store.refusing = ""
        store.losing = store.refusing = "nothing"
        assert await keys.run(1, key, b"", create) == Answer(201, b"{}")
    assert len(created) == 1


async def test_a_try_that_is_cancelled_is_repeated_at_once(cassandra: Cassandra) -> None:
    keys = await Idempotency(cassandra, lambda: 1).prepare()
    key, began = uuid4().hex, asyncio.Event()

    async def hang(_: Reservation) -> Answer:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def create(_: Reservation) -> Answer:
        return Answer(201, b"{}")

    first = asyncio.create_task(keys.run(1, key, b"", hang))
    await began.wait()
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    assert await keys.run(1, key, b"", create) == Answer(201, b"{}")


async def test_a_try_that_failed_is_repeated_under_the_same_id(cassandra: Cassandra) -> None:
    minted = iter(range(1, 1_000))
    keys = await Idempotency(cassandra, lambda: next(minted)).prepare()
    tried: list[Reservation] = []

    async def fail_once(reserved: Reservation) -> Answer:
        tried.append(reserved)
        if len(tried) == 1:
            raise ConflictError
        return Answer(201, b"{}")

    account = uuid4().int >> 66
    with pytest.raises(ConflictError):
        await keys.run(account, "k", b"", fail_once)
    assert await keys.run(account, "k", b"", fail_once) == Answer(201, b"{}")
    assert tried == [Reservation(1, is_retry=False), Reservation(1, is_retry=True)]


@pytest.mark.parametrize("kind", ["cql", "sql"])
async def test_a_migration_that_was_changed_is_refused(settings: Settings, tmp_path: Path, kind: str) -> None:
    opening: Any = {"cql": cassandra_migrations, "sql": postgres_migrations}[kind]
    name = settings.keyspace(f"drift_{kind}")
    file = tmp_path / f"0001_thing.{kind}"
    file.write_text("CREATE TABLE thing (id int PRIMARY KEY);")
    assert (await migrate(opening(settings, name), tmp_path))[-1].endswith(file.name)
    assert await migrate(opening(settings, name), tmp_path) == []
    file.write_text("CREATE TABLE thing (id int PRIMARY KEY, more int);")
    with pytest.raises(MigrationError):
        await migrate(opening(settings, name), tmp_path)


@pytest.mark.parametrize("kind", ["cql", "sql"])
async def test_a_migration_that_died_in_the_middle_is_run_again(settings: Settings, tmp_path: Path, kind: str) -> None:
    opening: Any = {"cql": cassandra_migrations, "sql": postgres_migrations}[kind]
    name = settings.keyspace(f"died_{kind}")
    file = tmp_path / f"0001_things.{kind}"
    table = "CREATE TABLE thing (id int PRIMARY KEY);"
    file.write_text(f"{table} CREATE TABLE;")
    with pytest.raises(Exception, match=r"(?i)syntax"):
        await migrate(opening(settings, name), tmp_path)
    file.write_text(f"{table} CREATE TABLE other (id int PRIMARY KEY);")
    assert "0001_things" in (await migrate(opening(settings, name), tmp_path))[-1]
