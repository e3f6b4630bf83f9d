"""Feeds of returning readers are prepared before they read again."""

from libs.common.core.errors import TooManyInProgressError
from services.feed.domain.feed import Order
from services.feed.ports import CachedPage
from services.feed.service.returning import RETURNS_S, FirstPage, ReturningReaders
from services.feed.service.warming import FeedWarmer, PageWarmer
from services.feed.tests.world import World

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
    warmer = FeedWarmer(redis, world.list_source, lambda: [READER])
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


PAGE, PAGE_S = FirstPage(READER, Order.RANKED, 20), 60


class Readers(World):
    """A world whose reader has read the same page twice."""

    def __init__(self) -> None:
        super().__init__()
        self.returning = ReturningReaders(PAGE_S, lambda: self.now_s)
        self.warmer = PageWarmer(self.returning, self.reader.warm)
        self.returning.read(PAGE, 0)
        self.returning.read(PAGE, 0)


async def test_a_page_is_assembled_before_it_expires() -> None:
    world = Readers()
    world.now_s += PAGE_S - 11
    assert world.returning.due() == []
    world.now_s += 1
    assert world.returning.due() == [PAGE]
    await world.warmer.poll()
    assert [variant for variant, _ in world.cache.cached] == ["3-ranked-20"]
    assert world.returning.due() == []


async def test_pages_of_readers_who_came_once_or_are_gone_are_not_warmed() -> None:
    world = Readers()
    world.returning.read(FirstPage(READER + 1, Order.RANKED, 20), 0)
    world.now_s += PAGE_S
    assert world.returning.due() == [PAGE]
    world.now_s += RETURNS_S - PAGE_S - 1
    assert world.returning.due() == [PAGE]
    world.now_s += 1
    assert world.returning.due() == []
    assert set(world.returning.readers()) == {READER, READER + 1}


async def test_a_page_that_another_process_renewed_is_left_alone() -> None:
    world = Readers()
    world.now_s += PAGE_S
    world.cache.page = CachedPage(b"{}", age_s=5)
    await world.warmer.poll()
    assert world.cache.cached == []
    world.now_s += PAGE_S - 10 - 6
    assert world.returning.due() == []
    world.now_s += 1
    assert world.returning.due() == [PAGE]


async def test_a_page_that_cannot_be_made_does_not_keep_the_others_waiting() -> None:
    world = Readers()
    other = FirstPage(READER + 1, Order.RANKED, 20)
    for _ in range(2):
        world.returning.read(other, 0)
    warmed: list[FirstPage] = []

    async def warm(page: FirstPage, renew_s: float) -> int:
        if page == PAGE:
            raise TooManyInProgressError
        warmed.append(page)
        return 0

    world.now_s += PAGE_S
    await PageWarmer(world.returning, warm).poll()
    assert warmed == [other]
    assert world.returning.due() == []
    world.now_s += world.returning.renew_s
    assert set(world.returning.due()) == {PAGE, other}
