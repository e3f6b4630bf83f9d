from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from libs.common.runtime.settings import Settings
from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for


@pytest.fixture
async def redis(store_env: dict[str, str]) -> AsyncIterator["Redis"]:
    async with open_redis(settings_for(Settings, store_env)) as client:
        yield client


@pytest.fixture
async def prefix(redis: "Redis", store_env: dict[str, str]) -> AsyncIterator[str]:
    """Of keys that are gone after the test."""
    prefix = f"{store_env['FEEDMILL_NAMESPACE']}lists:"
    yield prefix
    async for key in redis.scan_iter(match=f"{prefix}*", count=1_000):
        await redis.delete(key)
