"""Lists of recent readers are rebuilt after Redis has lost its data."""

from services.feed.domain.feed import Order
from services.feed.service.warming import FeedWarmer
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
    warmer = FeedWarmer(redis, world.list_source, world.reader.recent_readers)
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
