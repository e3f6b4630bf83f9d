"""What clients of stores do while no answer comes, through a proxy that swallows it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisConnectionError

from libs.common.runtime.context import set_deadline
from libs.common.runtime.dependencies import BREAKER_FAILURES, REDIS_READ
from libs.common.runtime.errors import DeadlineError, UnavailableError
from libs.common.runtime.settings import Settings
from libs.common.stores.postgres import POOL_SIZE, open_postgres
from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.common.testing.eventually import eventually
from libs.common.testing.proxy import Fault, FaultProxy, address_of

CUT_OFF_S = 2 * REDIS_READ.timeout_s
FOR_EVER_S = 3_600.0


@pytest.fixture
async def way(settings: Settings) -> AsyncIterator[tuple[FaultProxy, Settings]]:
    """The way to Redis, and settings that take it."""
    url = settings.redis_url.get_secret_value()
    address = address_of(url)
    async with FaultProxy(address) as proxy:
        redis_url = SecretStr(url.replace(address, proxy.address))
        yield proxy, settings.model_copy(update={"redis_url": redis_url, "breaker_open_s": FOR_EVER_S})


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
    settings = settings_for(Settings, store_env, patience=0.5, breaker_open_s=FOR_EVER_S)
    async with AsyncExitStack() as held, open_postgres(settings, "postgres") as postgres:
        for _ in range(POOL_SIZE):
            await held.enter_async_context(postgres.connection())
        for _ in range(2):  # the second time would find the breaker open
            calls = [postgres.fetchrow("SELECT 1") for _ in range(BREAKER_FAILURES)]
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(outcome, UnavailableError)
                assert "too many" in outcome.detail
        await held.aclose()
        assert await postgres.fetchrow("SELECT 1")


async def test_a_request_whose_time_is_up_says_nothing_about_the_server(store_env: dict[str, str]) -> None:
    settings = settings_for(Settings, store_env, breaker_open_s=FOR_EVER_S)

    async def hurried() -> None:
        set_deadline(0)
        with pytest.raises(DeadlineError):
            await postgres.fetchrow("SELECT 1")

    async with open_postgres(settings, "postgres") as postgres:
        for _ in range(BREAKER_FAILURES):
            await asyncio.create_task(hurried())
        assert await postgres.fetchrow("SELECT 1")
