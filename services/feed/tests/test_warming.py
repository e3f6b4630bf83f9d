"""Feeds of active readers are prepared before they read again."""

import pytest

from libs.common.core.errors import UnavailableError
from services.feed.domain.feed import Order
from services.feed.ports import CachedPage
from services.feed.service.active import ACTIVE_S, FirstPage
from services.feed.service.warming import FeedWarmer, PageWarmer
from services.feed.tests.world import PAGE_S, World

READER, AUTHOR = 1, 2


class FixedGeneration:
    """A Redis whose generation changes when its data is lost."""

    current = b"one"

    async def generation(self) -> bytes:
        return self.current


async def test_lists_are_rebuilt_only_after_redis_has_lost_its_data() -> None:
    world, redis = World(), FixedGeneration()
    world.graph.follows[READER] = {AUTHOR}
    post = await world.post(AUTHOR)
    warmer = FeedWarmer(redis, world.list_source, world.active.readers)
    await warmer.poll()
    await world.reader.page(READER, Order.RANKED, 20, None)
    world.lists.lists.clear()
    await warmer.poll()
    assert world.lists.lists == {}
    redis.current, world.graph.down = b"another", True
    world.cache.followees.clear()
    await warmer.poll()
    assert world.lists.lists == {}, "without followees the list is left to the reader's own read"
    redis.current, world.graph.down = b"a third one", False
    await warmer.poll()
    assert world.lists.lists[READER].post_ids == (post,)


PAGE = FirstPage(READER, Order.RANKED, 20)


@pytest.fixture
async def world() -> World:
    """The reader has read the same page twice."""
    world = World()
    for _ in range(2):
        await world.reader.page(*PAGE, None)
    return world


async def test_a_page_is_due_before_it_expires(world: World) -> None:
    assert world.active.due() == []
    world.now_s += PAGE_S - 1
    assert world.active.due() == [PAGE]
    await PageWarmer(world.active.due, world.reader.warm).poll()
    assert [variant for variant, _ in world.cache.cached] == ["3-ranked-20"] * 3
    assert world.active.due() == []


async def test_pages_of_readers_who_came_once_or_are_gone_are_not_warmed(world: World) -> None:
    await world.reader.page(READER + 1, Order.RANKED, 20, None)
    world.now_s += PAGE_S - 1
    assert world.active.due() == [PAGE]
    world.active.renewed(PAGE, 0)
    world.now_s += ACTIVE_S - PAGE_S
    assert world.active.due() == [PAGE]
    world.now_s += 2
    assert world.active.due() == []


async def test_a_page_that_another_process_renewed_is_left_alone(world: World) -> None:
    world.now_s += PAGE_S - 1
    world.cache.page = CachedPage(b"{}", age_s=5)
    await PageWarmer(world.active.due, world.reader.warm).poll()
    assert len(world.cache.cached) == 2
    world.now_s += world.active.renew_s - 6
    assert world.active.due() == []
    world.now_s += 2
    assert world.active.due() == [PAGE]


async def test_warming_continues_after_an_outage(world: World) -> None:
    world.now_s += PAGE_S - 1

    async def fail(page: FirstPage) -> None:
        raise UnavailableError

    await PageWarmer(world.active.due, fail).poll()
    assert world.active.due() == [PAGE]
