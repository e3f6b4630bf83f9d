"""Feeds while the post service or the user service is unavailable.

Last known posts are shown, but none that the reader may not see.
"""

import orjson
import pytest

from libs.common.core.errors import UnavailableError
from libs.invalidation import LAST_KNOWN_S, Invalidation
from services.feed.domain.feed import Order
from services.feed.service.reader import Served
from services.feed.tests.world import World

READER, PUSHED, PULLED = 1, 2, 3
LONG_S = 600  # far longer than cached records are valid


@pytest.fixture
async def posts() -> list[int]:
    return []


@pytest.fixture
async def world(posts: list[int]) -> World:
    """The reader has seen two posts of each author, and one of their own."""
    world = World()
    world.graph.follows[READER], world.graph.pull = {PUSHED, PULLED}, {PULLED}
    posts += [await world.post(a, minutes_ago=9 - i) for i, a in enumerate((PUSHED, PULLED, READER, PUSHED, PULLED))]
    for order in Order:
        assert set(shown(await read(world, order))) == set(posts)
    world.now_s += LONG_S
    return world


async def read(world: World, order: Order = Order.CHRONOLOGICAL, limit: int = 20, cursor: str | None = None) -> Served:
    return await world.reader.page(READER, order, limit, cursor)


def shown(served: Served) -> list[int]:
    return [int(post["post_id"]) for post in orjson.loads(served.body)["posts"]]


def assert_stale(served: Served) -> None:
    coverage = orjson.loads(served.body)["coverage"]
    assert (served.cache, served.quality, coverage["complete"]) == ("stale", "degraded", False)
    assert [gap["reason"] for gap in coverage["gaps"]] == ["source_down"]


@pytest.mark.parametrize("order", list(Order))
async def test_without_the_post_service_known_posts_are_shown(world: World, posts: list[int], order: Order) -> None:
    world.posts.down = True
    served = await read(world, order)
    assert_stale(served)
    assert shown(served) == posts[::-1]
    world.posts.down = False
    assert (await read(world, order)).cache == "miss"


@pytest.mark.parametrize("order", list(Order))
async def test_without_the_user_service_authors_are_shown_as_last_known(
    world: World, posts: list[int], order: Order
) -> None:
    world.graph.down = True
    served = await read(world, order)
    assert_stale(served)
    assert set(shown(served)) == set(posts)


async def test_paging_continues_through_known_posts(world: World, posts: list[int]) -> None:
    world.posts.down = True
    first = await read(world, limit=2)
    second = await read(world, limit=2, cursor=orjson.loads(first.body)["next_cursor"])
    third = await read(world, limit=2, cursor=orjson.loads(second.body)["next_cursor"])
    assert [*shown(first), *shown(second), *shown(third)] == posts[::-1]
    assert orjson.loads(third.body)["has_more"] is False


@pytest.mark.parametrize("order", list(Order))
async def test_all_posts_of_a_busy_author_are_shown(world: World, order: Order) -> None:
    newest = [await world.post(PULLED) for _ in range(50)]
    await read(world, order, limit=100)
    world.posts.down = True  # their list and the records are still cached
    served = await read(world, order, limit=100)
    assert_stale(served)
    assert set(newest) <= set(shown(served))


async def test_posts_that_changed_since_are_not_shown(world: World, posts: list[int]) -> None:
    await world.stamps.write(Invalidation(changed=[posts[0]]))
    del world.stamps.stamps[world.stamps.changed(posts[0])]  # this stamp expires earlier
    world.posts.down = True
    assert shown(await read(world)) == posts[:0:-1]


async def test_posts_of_the_banned_and_of_the_unfollowed_are_not_shown(world: World, posts: list[int]) -> None:
    await world.stamps.write(Invalidation(changed=[PUSHED]))
    await world.cache.forget_followee(READER, PULLED)
    world.graph.down = True
    assert shown(await read(world)) == [posts[2]]


async def test_an_unfollow_counts_at_once_while_the_post_service_is_away(world: World, posts: list[int]) -> None:
    world.graph.follows[READER] = {PULLED}
    world.posts.down = True
    assert shown(await read(world)) == [posts[4], posts[2], posts[1]]


async def test_nothing_is_shown_after_stamps_were_lost(world: World) -> None:
    world.stamps.redis_generation = b"b"
    world.posts.down = True
    with pytest.raises(UnavailableError):
        await read(world)


async def test_nothing_is_shown_after_a_day(world: World) -> None:
    world.now_s += LAST_KNOWN_S
    world.posts.down = True
    with pytest.raises(UnavailableError):
        await read(world)


async def test_unknown_posts_stay_in_the_list(world: World, posts: list[int]) -> None:
    newer = await world.post(PUSHED)
    world.posts.down = True
    assert newer not in shown(await read(world))
    world.posts.down = False
    assert shown(await read(world)) == [newer, *posts[::-1]]


async def test_posts_are_shown_newest_first_without_ranking_features(world: World, posts: list[int]) -> None:
    world.posts.features_down = True
    served = await read(world, Order.RANKED)
    assert shown(served) == posts[::-1]
    assert (served.cache, served.quality) == ("miss", "degraded")
