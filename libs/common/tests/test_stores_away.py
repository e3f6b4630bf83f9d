"""What clients of stores do while no answer comes: to anybody, through a proxy that swallows it, or to some."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from libs.common.core.breaker import BREAKER_FAILURES
from libs.common.core.context import set_deadline
from libs.common.core.errors import DeadlineError, OverloadedError, UnavailableError
from libs.common.core.policies import REDIS_READ
from libs.common.core.settings import Settings
from libs.common.stores.cassandra import Cassandra, cassandra_migrations
from libs.common.stores.idempotency import Answer, Idempotency, Reservation
from libs.common.stores.migrations import migrate
from libs.common.stores.postgres import POOL_SIZE, open_postgres
from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.common.testing.eventually import eventually
from libs.common.testing.proxy import Fault, FaultProxy, address_of
from libs.common.testing.samples import sample

pytestmark = pytest.mark.stores

CUT_OFF_S = 2 * REDIS_READ.timeout_s
RECOVERY_S = 5.0
WRITERS = 50
HURRIED = 0.02
KEYSPACE = "away"
NO_MIGRATIONS = Path(__file__).parent / "no-such-folder"
Ask = Callable[[], Awaitable[object]]


@pytest.fixture(scope="session")
async def keyspace(settings: Settings) -> None:
    await migrate(cassandra_migrations(settings, settings.keyspace(KEYSPACE)), NO_MIGRATIONS)


@pytest.fixture
async def way(settings: Settings) -> AsyncIterator[tuple[FaultProxy, Settings]]:
    """The way to Redis, and settings that take it."""
    url = settings.redis_url.get_secret_value()
    address = address_of(url)
    async with FaultProxy(address) as proxy:
        redis_url = SecretStr(url.replace(address, proxy.address))
        yield proxy, settings.model_copy(update={"redis_url": redis_url})


async def test_calls_that_are_cut_off_again_and_again_open_the_breaker(way: tuple[FaultProxy, Settings]) -> None:
    proxy, settings = way
    async with open_redis(settings, REDIS_READ) as redis:

        async def cut_off() -> None:  # a busy machine may spend its time before the read begins: then it does not count
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CUT_OFF_S):
                    await redis.ping()

        await redis.ping()
        await proxy.impose(Fault.BLACK_HOLE)
        with pytest.raises(RedisConnectionError, match="does not answer"):
            await eventually(cut_off)


async def test_a_full_pool_says_nothing_about_the_server(store_env: dict[str, str]) -> None:
    settings = settings_for(Settings, store_env, timeout_factor=0.5)
    async with AsyncExitStack() as held, open_postgres(settings, "postgres") as postgres:
        for _ in range(POOL_SIZE):
            await held.enter_async_context(postgres.connection())
        for _ in range(2):  # the second time would find the breaker open
            calls = [postgres.fetchrow("SELECT 1") for _ in range(BREAKER_FAILURES)]
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(outcome, OverloadedError)
        await held.aclose()
        assert await postgres.fetchrow("SELECT 1")


async def test_a_request_whose_time_is_up_says_nothing_about_the_server(store_env: dict[str, str]) -> None:
    settings = settings_for(Settings, store_env)

    async def hurried() -> None:
        set_deadline(0)
        with pytest.raises(DeadlineError):
            await postgres.fetchrow("SELECT 1")

    async with open_postgres(settings, "postgres") as postgres:
        for _ in range(BREAKER_FAILURES):
            await asyncio.create_task(hurried())
        assert await postgres.fetchrow("SELECT 1")


async def opened(store: str, settings: Settings, stack: AsyncExitStack) -> Ask:
    """A small question to the store."""
    if store == "redis":
        redis = await stack.enter_async_context(open_redis(settings))
        return redis.ping
    if store == "postgres":
        postgres = await stack.enter_async_context(open_postgres(settings, "postgres"))
        return postgres.ready
    return (await stack.enter_async_context(Cassandra(settings, settings.keyspace(KEYSPACE)))).ready


@pytest.mark.parametrize(
    ("store", "setting"),
    [("redis", "redis_url"), ("postgres", "postgres_dsn"), ("cassandra", "cassandra_contact_points")],
)
@pytest.mark.usefixtures("keyspace")
async def test_a_store_that_answers_again_is_asked_again(store_env: dict[str, str], store: str, setting: str) -> None:
    """Soon, though nobody asked it meanwhile."""
    url = store_env[f"FEEDMILL_{setting.upper()}"]
    async with FaultProxy(address_of(url)) as proxy, AsyncExitStack() as stack:
        env = {**store_env, f"FEEDMILL_{setting.upper()}": url.replace(address_of(url), proxy.address)}
        ask = await opened(store, settings_for(Settings, env, timeout_factor=0.5), stack)

        async def is_open() -> bool:
            with contextlib.suppress(UnavailableError, RedisError):
                await ask()
            return bool(sample("feedmill_breaker_open", dependency=store))

        async def is_closed() -> bool:
            return not sample("feedmill_breaker_open", dependency=store)

        await ask()
        await proxy.impose(Fault.BLACK_HOLE)
        await eventually(is_open)
        await proxy.heal()
        await eventually(is_closed, RECOVERY_S)
        await eventually(lambda: answered(ask), RECOVERY_S)


async def answered(ask: Ask) -> bool:
    with contextlib.suppress(UnavailableError, RedisError):
        await ask()
        return True
    return False


@pytest.mark.usefixtures("keyspace")
async def test_writers_of_one_hot_key_stop_nobody_else(store_env: dict[str, str]) -> None:
    """Each writer as a process of its own, so that all of them ask the store."""
    settings = settings_for(Settings, store_env, timeout_factor=4.0)
    refused = sample("feedmill_dependency_refused_total", dependency="cassandra", why="breaker")
    async with Cassandra(settings, settings.keyspace(KEYSPACE)) as cassandra:
        mint = itertools.count(1).__next__
        processes = [await Idempotency(cassandra, mint).prepare() for _ in range(WRITERS)]
        created: set[int] = set()

        async def create(reserved: Reservation) -> Answer:
            created.add(reserved.resource_id)
            return Answer(201, b"{}")

        writing = asyncio.gather(*(keys.run(1, "hot", b"", create) for keys in processes), return_exceptions=True)
        while not writing.done():
            await cassandra.ready()
    assert len(created) <= 1
    assert sample("feedmill_dependency_refused_total", dependency="cassandra", why="breaker") == refused


@pytest.mark.usefixtures("keyspace")
async def test_writers_of_one_hot_key_that_time_out_say_nothing_about_the_store(store_env: dict[str, str]) -> None:
    """With so little time that most of them are in vain; readers have nearly none, and are not looked at."""
    settings = settings_for(Settings, store_env, timeout_factor=HURRIED)
    async with Cassandra(settings, settings.keyspace(KEYSPACE)) as cassandra:
        take = await cassandra.prepare("INSERT INTO leases (name, holder) VALUES (?, 'x') IF NOT EXISTS", "take")
        before = probes()
        writes = (cassandra.applied(take, ("hot",)) for _ in range(4 * WRITERS))
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert len([one for one in outcomes if isinstance(one, UnavailableError)]) > BREAKER_FAILURES
        assert probes() == before


def probes() -> float:
    return sum(
        sample("feedmill_breaker_probes_total", dependency="cassandra", answered=one) for one in ("true", "false")
    )
