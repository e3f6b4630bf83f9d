import pytest

from workers.fanout.domain import Level
from workers.fanout.ports import Post
from workers.fanout.tests.world import POST, InMemoryGraph, World


async def test_a_small_author_is_pushed_at_once_and_again_without_effect() -> None:
    world = World(InMemoryGraph(range(5, 12)))
    for _ in range(2):
        await world.fanout.take_posts([POST])
        assert world.everyone_has(POST)
        assert world.ledger.delivered_in_all() == 7
    assert world.queue.chunks == {"push": [], "slow": []}
    assert world.rate.taken == []


async def test_a_larger_author_is_shared_out_in_chunks_that_cover_all() -> None:
    world = World(InMemoryGraph(range(5, 40)))
    await world.fanout.take_posts([POST])
    assert world.feeds.held == set()
    chunks = world.queue.chunks["push"]
    assert len(chunks) == 4
    await world.fanout.take_chunks("push", [*chunks, *chunks])
    assert world.everyone_has(POST)
    assert world.ledger.delivered_in_all() == 35
    assert world.rate.taken == []


async def test_a_post_taken_twice_is_queued_in_the_same_chunks_although_followers_came() -> None:
    world = World(InMemoryGraph(range(5, 40)))
    await world.fanout.take_posts([POST])
    first = list(world.queue.chunks["push"])
    world.graph.ids = list(range(2, 60))
    await world.fanout.take_posts([POST])
    assert world.queue.chunks["push"] == first * 2


async def test_the_largest_go_through_the_slow_lane_at_its_rate() -> None:
    world = World(InMemoryGraph(range(5, 205)))
    await world.fanout.take_posts([POST])
    assert world.queue.chunks["push"] == []
    for _ in range(2):
        await world.fanout.take_chunks("slow", world.queue.chunks["slow"])
        assert world.everyone_has(POST)
        assert sum(world.rate.taken) == 200
    assert world.ledger.modes == {100: "slow"}


async def test_a_chunk_goes_on_where_a_failure_left_it() -> None:
    world = World(InMemoryGraph(range(5, 15)))
    await world.queue.put("slow", POST, [(0, 14)])
    world.graph.pages_left = 3
    with pytest.raises(TimeoutError):
        await world.fanout.take_chunks("slow", world.queue.chunks["slow"])
    assert len(world.feeds.held) == 6
    world.graph.pages_left = 2
    for _ in range(2):
        await world.fanout.take_chunks("slow", world.queue.chunks["slow"])
    assert world.everyone_has(POST)
    assert world.ledger.delivered_in_all() == 10


async def test_a_chunk_ends_although_its_last_follower_left() -> None:
    world = World(InMemoryGraph(range(5, 15)))
    await world.queue.put("push", POST, [(0, 20)])
    await world.fanout.take_chunks("push", world.queue.chunks["push"])
    assert (await world.ledger.begun(100, 0)).is_done


async def test_pull_authors_unknown_ones_and_those_without_followers_push_nothing() -> None:
    for graph, author_id, modes in (
        (InMemoryGraph([2], is_push=False), 1, {100: "pull"}),
        (InMemoryGraph([2]), 99, {}),
        (InMemoryGraph([]), 1, {100: "push"}),
    ):
        world = World(graph)
        for _ in range(2):
            await world.fanout.take_posts([Post(100, author_id)])
        assert (world.feeds.held, world.queue.chunks) == (set(), {"push": [], "slow": []})
        assert world.ledger.modes == modes


async def test_one_post_that_fails_leaves_the_others_of_its_batch_done() -> None:
    world = World(InMemoryGraph(range(5, 9)))
    world.graph.pages_left = 5
    posts = [Post(100 + n, 1) for n in range(3)]
    with pytest.raises(TimeoutError):
        await world.fanout.take_posts(posts)
    world.graph.pages_left = 6
    await world.fanout.take_posts(posts)
    assert len(world.feeds.held) == 12


async def test_at_level_2_inactive_readers_are_left_out() -> None:
    world = World(InMemoryGraph(range(5, 12)))
    world.feeds.inactive = {6, 7}
    for level, users in ((Level.ACTIVE_ONLY, 5), (Level.BEHIND, 7)):
        world.load.level = level
        for _ in range(2):
            await world.fanout.take_posts([POST])
            assert len(world.feeds.held) == users
            assert world.ledger.delivered_in_all() == users


async def test_at_level_3_posts_and_waiting_chunks_go_into_the_gap() -> None:
    world = World(InMemoryGraph(range(5, 40)))
    await world.fanout.take_posts([POST])
    chunks = world.queue.chunks["push"]
    await world.fanout.take_chunks("push", chunks[:1])
    held = set(world.feeds.held)
    world.load.level = Level.PULL
    for _ in range(2):
        await world.fanout.take_chunks("push", chunks[1:])
        await world.fanout.take_posts([Post(101, 1), Post(102, 99)])
        await world.fanout.take_posts([])
    assert world.feeds.held == held
    assert world.gaps.open == {100, 101, 102}
    assert set(world.ledger.modes.values()) == {"skipped"}
