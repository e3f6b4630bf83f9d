"""The page cache on a real Redis: a cached page is served only while it is valid."""

from collections.abc import AsyncIterator

import pytest

from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.contracts.events import UserUnbanned
from libs.feedlists import FeedLists
from libs.invalidation import InvalidationStamps
from services.feed.domain.feed import Followees
from services.feed.ports import PageDependencies, PinnedOrder, Position
from services.feed.settings import FeedSettings
from services.feed.stores.redis import RedisFeedCache

pytestmark = pytest.mark.stores
READER, CELEBRITY, POST = 11, 12, 381_000_000_000_000_000
Stores = tuple[RedisFeedCache, FeedLists, InvalidationStamps]


@pytest.fixture
async def redis(store_env: dict[str, str]) -> AsyncIterator[Stores]:
    settings = settings_for(FeedSettings, store_env)
    prefix = settings.redis_prefix("feedcache")
    async with open_redis(settings) as client:
        lists = FeedLists(client, prefix, 4)
        stamps = InvalidationStamps(client, settings)
        yield RedisFeedCache(client, lists, stamps, 60, 60), lists, stamps
        for pattern in (f"{prefix}*", f"{settings.redis_prefix('stamps')}*"):
            if keys := await client.keys(pattern):
                await client.delete(*keys)


async def cache_page(cache: RedisFeedCache) -> None:
    dependencies = PageDependencies([POST], [CELEBRITY], await cache.pulled_seen([CELEBRITY]))
    await cache.cache_page(
        READER, "ranked-20", (await cache.lookup(READER, "ranked-20")).stamp, dependencies, b'{"x":"\n"}'
    )


async def test_a_cached_page_is_returned(redis: Stores) -> None:
    cache, _, _ = redis
    await cache_page(cache)
    page = (await cache.lookup(READER, "ranked-20")).page
    assert page is not None
    assert page.body == b'{"x":"\n"}'
    assert (await cache.lookup(READER, "ranked-50")).page is None
    assert (await cache.lookup(READER + 1, "ranked-20")).page is None


async def test_a_push_an_activity_and_a_deletion_invalidate_a_page(redis: Stores) -> None:
    cache, lists, stamps = redis
    await lists.begin(READER)
    await cache_page(cache)
    await lists.deliver([READER], [POST + 1])
    assert (await cache.lookup(READER, "ranked-20")).page is None
    await cache_page(cache)
    await lists.deliver([READER], [POST])  # a late post, below the newest one
    assert (await cache.lookup(READER, "ranked-20")).page is None
    await cache_page(cache)
    await stamps.write([READER])
    assert (await cache.lookup(READER, "ranked-20")).page is None
    await cache_page(cache)
    await stamps.write([], [POST])
    assert (await cache.lookup(READER, "ranked-20")).page is None


async def test_activity_during_assembly_invalidates_a_page(redis: Stores) -> None:
    cache, _, stamps = redis
    stamp = (await cache.lookup(READER, "ranked-20")).stamp
    await stamps.write([READER])
    await cache.cache_page(READER, "ranked-20", stamp, PageDependencies([], [], ""), b"{}")
    assert (await cache.lookup(READER, "ranked-20")).page is None


async def test_an_unban_invalidates_pages_that_never_showed_the_author(redis: Stores) -> None:
    cache, _, stamps = redis
    await cache_page(cache)
    assert (await cache.lookup(READER, "ranked-20")).page is not None
    await stamps.invalidate([UserUnbanned(user_id=CELEBRITY)])
    assert (await cache.lookup(READER, "ranked-20")).page is None


async def test_pinned_orders_positions_and_followees(redis: Stores) -> None:
    cache, _, _ = redis
    assert await cache.pinned_order(READER, "s") is None
    await cache.pin_order(READER, "s", PinnedOrder(1, [3, 1, 2]))
    assert await cache.pinned_order(READER, "s") == PinnedOrder(1, [3, 1, 2])
    assert await cache.pinned_order(READER + 1, "s") is None
    assert await cache.position(READER) is None
    await cache.save_position(READER, Position("1.0a", POST))
    assert await cache.position(READER) == Position("1.0a", POST)
    assert await cache.cached_followees(READER) is None
    await cache.cache_followees(READER, Followees(frozenset({1, 2}), frozenset({2})))
    assert await cache.cached_followees(READER) == Followees(frozenset({1, 2}), frozenset({2}), stale=True)


async def test_only_posts_of_pulled_followees_invalidate_a_page(redis: Stores) -> None:
    cache, _, stamps = redis
    await cache_page(cache)
    await stamps.write([CELEBRITY + 1])
    await stamps.stamp_pulled()
    assert (await cache.lookup(READER, "ranked-20")).page is not None
    await stamps.write([CELEBRITY])
    assert (await cache.lookup(READER, "ranked-20")).page is None
