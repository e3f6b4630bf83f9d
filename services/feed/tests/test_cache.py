"""The page cache on a real Redis: a cached page is served only while it is valid."""

from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Any

import pytest
from redis.asyncio import Connection

from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.contracts.base import Payload
from libs.contracts.events import FollowDeleted, MuteCreated, PostDeleted, UserBanned, UserUnbanned, UserUpdated
from libs.feedlists import FeedLists, UnpushedRanges
from libs.invalidation import Invalidation, InvalidationStamps
from services.feed.domain.feed import Followees
from services.feed.ports import OverallStamps, PageDependencies, PinnedOrder, Position
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
        yield RedisFeedCache(client, lists, UnpushedRanges(client, lists), stamps, 60, 60), lists, stamps
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
    await stamps.write(Invalidation(active=[READER]))
    assert (await cache.lookup(READER, "ranked-20")).page is None
    await cache_page(cache)
    await stamps.write(Invalidation(changed=[POST]))
    assert (await cache.lookup(READER, "ranked-20")).page is None


async def test_activity_during_assembly_invalidates_a_page(redis: Stores) -> None:
    cache, _, stamps = redis
    stamp = (await cache.lookup(READER, "ranked-20")).stamp
    await stamps.write(Invalidation(active=[READER]))
    await cache.cache_page(READER, "ranked-20", stamp, PageDependencies([], [], ""), b"{}")
    assert (await cache.lookup(READER, "ranked-20")).page is None


async def test_an_unban_invalidates_pages_that_never_showed_the_author(redis: Stores) -> None:
    cache, _, stamps = redis
    await cache_page(cache)
    assert (await cache.lookup(READER, "ranked-20")).page is not None
    await stamps.invalidate([UserUnbanned(user_id=CELEBRITY)])
    assert (await cache.lookup(READER, "ranked-20")).page is None


async def test_counts_of_a_page_are_replaced_while_it_is_cached(redis: Stores) -> None:
    cache, _, stamps = redis
    await cache_page(cache)
    page = (await cache.lookup(READER, "ranked-20")).page
    assert page is not None
    await cache.recount_page(READER, "ranked-20", page, b'{"x":2}')
    again = (await cache.lookup(READER, "ranked-20")).page
    assert again is not None
    assert again.body == b'{"x":2}'
    assert again.dependencies == page.dependencies
    await stamps.write(Invalidation(changed=[POST]))
    assert (await cache.lookup(READER, "ranked-20")).page is None
    await cache.recount_page(READER + 1, "ranked-20", page, b"{}")  # it has expired
    assert (await cache.lookup(READER + 1, "ranked-20")).page is None


async def test_a_page_is_dropped_when_an_author_becomes_pulled(redis: Stores) -> None:
    cache, _, stamps = redis
    await cache_page(cache)
    await stamps.write(Invalidation(followees=True))
    assert (await cache.lookup(READER, "ranked-20")).page is None


@pytest.mark.parametrize(
    ("event", "kinds"),
    [
        (FollowDeleted(follower_id=READER, followee_id=CELEBRITY), {"followees"}),
        (FollowDeleted(follower_id=CELEBRITY, followee_id=READER), set()),
        (MuteCreated(muter_id=READER, muted_id=CELEBRITY), {"followees"}),
        (UserBanned(user_id=CELEBRITY), {"followees", "records", "profiles"}),
        (UserUnbanned(user_id=CELEBRITY), {"followees", "profiles"}),
        (UserUpdated(user_id=CELEBRITY), {"profiles"}),
        (PostDeleted(post_id=POST, author_id=CELEBRITY), {"records"}),
    ],
)
async def test_overall_stamps_change_with_any_value_of_their_kind(
    redis: Stores, event: Payload, kinds: set[str]
) -> None:
    cache, _, stamps = redis
    before = (await cache.stored_feed(READER, None)).stamps
    await stamps.invalidate([event])
    after = (await cache.stored_feed(READER, None)).stamps
    assert {one.name for one in fields(OverallStamps) if getattr(before, one.name) != getattr(after, one.name)} == kinds


async def test_a_feed_is_read_in_one_round_trip(redis: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, lists, stamps = redis
    await stamps.generation()
    await lists.begin(READER)
    await lists.merge(READER, [POST], finish=True)
    sent = 0
    send = Connection.send_packed_command

    async def count(self: Connection, *args: Any, **options: Any) -> None:
        nonlocal sent
        sent += 1
        await send(self, *args, **options)

    monkeypatch.setattr(Connection, "send_packed_command", count)
    stored = await cache.stored_feed(READER, "s")
    assert stored.listed == await lists.read(READER)
    assert sent == 2  # the second is that of `lists.read`


async def test_pinned_orders_positions_and_followees(redis: Stores) -> None:
    cache, _, _ = redis
    assert (await cache.stored_feed(READER, "s")).pinned is None
    await cache.pin_order(READER, "s", PinnedOrder(1, [3, 1, 2]))
    assert (await cache.stored_feed(READER, "s")).pinned == PinnedOrder(1, [3, 1, 2])
    assert (await cache.stored_feed(READER + 1, "s")).pinned is None
    assert await cache.position(READER) is None
    await cache.save_position(READER, Position("1.0a", POST))
    assert await cache.position(READER) == Position("1.0a", POST)
    assert await cache.cached_followees(READER) is None
    await cache.cache_followees(READER, Followees(frozenset({1, 2}), frozenset({2})))
    assert await cache.cached_followees(READER) == Followees(frozenset({1, 2}), frozenset({2}), stale=True)


async def test_only_posts_of_pulled_followees_invalidate_a_page(redis: Stores) -> None:
    cache, _, stamps = redis
    await cache_page(cache)
    await stamps.write(Invalidation(active=[CELEBRITY + 1]))
    await stamps.stamp_pulled()
    assert (await cache.lookup(READER, "ranked-20")).page is not None
    await stamps.write(Invalidation(active=[CELEBRITY]))
    assert (await cache.lookup(READER, "ranked-20")).page is None
