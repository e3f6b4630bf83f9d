"""After a loss of Redis the lists of active readers come back by themselves."""

from services.feed.domain.feed import Order
from services.feed.service.warming import FeedWarmer
from services.feed.tests.world import World

READER, AUTHOR = 1, 2


class Redis:
    """Only what tells one Redis from another."""

    name = b"one"

    async def generation(self) -> bytes:
        return self.name


async def test_lists_come_back_when_redis_was_emptied_and_only_then() -> None:
    world, redis = World(), Redis()
    world.graph.follows[READER] = {AUTHOR}
    post = await world.post(AUTHOR)
    warmer = FeedWarmer(redis, world.listed, world.reader.recent_readers)
    await warmer.poll()
    await world.reader.page(READER, Order.RANKED, 20, None)
    world.lists.lists.clear()
    await warmer.poll()
    assert world.lists.lists == {}
    redis.name, world.graph.down = b"another", True
    world.cache.followees.clear()
    await warmer.poll()
    assert world.lists.lists == {}, "one who can't be warmed is left to their own read"
    redis.name, world.graph.down = b"a third one", False
    await warmer.poll()
    assert world.lists.lists[READER].post_ids == (post,)
