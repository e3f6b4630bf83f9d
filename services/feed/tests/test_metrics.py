"""What a feed read leaves in the metrics."""

import pytest

from libs.common.testing.samples import sample
from services.feed.domain.feed import Order
from services.feed.ports import CachedPage
from services.feed.service.reader import COUNTS_S
from services.feed.tests.world import World

READER, AUTHOR = 1, 2
CACHES = ("feed_page", "feed_posts", "feed_authors", "followees")


@pytest.fixture
def world() -> World:
    world = World()
    world.graph.follows[READER] = {AUTHOR}
    return world


def cache_reads() -> dict[tuple[str, str], float]:
    outcomes = ("hit", "miss")
    return {(c, o): sample("feedmill_cache_reads_total", cache=c, outcome=o) for c in CACHES for o in outcomes}


async def read(world: World) -> dict[tuple[str, str], float]:
    """Read the first page, and return by how much it raised each count of reads of caches."""
    before = cache_reads()
    await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None)
    return {key: count - before[key] for key, count in cache_reads().items() if count != before[key]}


async def test_reads_of_caches_are_counted_by_entry(world: World) -> None:
    for age in range(3):
        await world.post(AUTHOR, minutes_ago=age)
    misses = {
        ("feed_page", "miss"): 1,
        ("feed_posts", "miss"): 3,
        ("feed_authors", "miss"): 1,
        ("followees", "miss"): 1,
    }
    assert await read(world) == misses
    hits = {("feed_page", "miss"): 1, ("feed_posts", "hit"): 3, ("feed_authors", "hit"): 1, ("followees", "hit"): 1}
    assert await read(world) == hits


async def test_a_page_is_timed_by_its_cache_status(world: World) -> None:
    def timed() -> list[float]:
        return [sample("feedmill_feed_page_seconds_count", cache=status) for status in ("hit", "miss", "stale")]

    await world.post(AUTHOR)
    start = timed()
    content = (await world.reader.page(READER, Order.RANKED, 20, None)).body.partition(b',"cached":')[0] + b"}"
    world.posts.down = True
    world.now_s += 600
    await world.reader.page(READER, Order.RANKED, 20, None)
    world.cache.page = CachedPage(content, 30, COUNTS_S)
    assert await read(world) == {("feed_page", "hit"): 1}
    assert [now - before for now, before in zip(timed(), start, strict=True)] == [1, 1, 1]
