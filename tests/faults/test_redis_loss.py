"""Redis is emptied while people read: nothing is skipped, nothing comes twice, and lists come back by themselves."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from devstack.stack import Stack
from libs.common.core.settings import Settings
from libs.common.stores.redis import open_redis
from libs.common.testing.eventually import eventually
from libs.feedlists import FeedLists
from ops.client import Api
from tests.conftest import operator_settings
from tests.e2e.world import follow, publish, stranger
from tests.faults.system import feeds_are_right

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
BUCKETS = 16


@pytest.fixture
def settings(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return operator_settings(stack, monkeypatch)


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator["Redis"]:
    async with open_redis(settings) as redis:
        yield redis


async def empty(redis: "Redis", settings: Settings) -> None:
    """Delete the keys of this system. Other tests share the server."""
    for name in ("feed", "acts"):
        if keys := [key async for key in redis.scan_iter(f"{settings.redis_prefix(name)}*", count=1_000)]:
            await redis.delete(*keys)


async def test_readers_go_on_where_they_were(base_url: str, redis: "Redis", settings: Settings) -> None:
    async with Api(base_url) as api:
        author, reader = await stranger(api), await stranger(api)
        await follow(api, reader, author)
        posted = {*(await publish(api, author, 6)), *(await publish(api, reader, 3))}
        lists = FeedLists(redis, settings.redis_prefix("feed"), BUCKETS)

        async def all_there() -> bool:
            page = await api.call("GET", "/feed", reader)
            return len(page["posts"]) == len(posted)

        await eventually(all_there)
        for order in ("ranked", "chronological"):
            shown, cursor = list[str](), None
            while True:
                params = {"order": order, "limit": 2, **({"cursor": cursor} if cursor else {})}
                page = await api.call("GET", "/feed", reader, params=params)
                shown += [post["post_id"] for post in page["posts"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
                await empty(redis, settings)
            assert len(shown) == len(posted)
            assert set(shown) == posted
        await empty(redis, settings)

        async def warmed() -> bool:
            found = await lists.read(int(reader.user_id), renew=False)
            return found is not None and found.complete

        await eventually(warmed)
    await feeds_are_right(settings, reader)
