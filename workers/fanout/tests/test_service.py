from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.core.ids import first_id_at, now_ms
from libs.common.testing.samples import sample
from libs.feedlists import BackpressureLevel, Mode, PushResult, RemovalResult
from libs.telemetry.catalog import BY_NAME
from workers.fanout.ports import Chunk, Lane, PostRef
from workers.fanout.service.fanout import CHUNKS_AT_ONCE
from workers.fanout.tests.world import POST, InMemoryFeeds, InMemoryGraph, World


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
    await world.queue.put("slow", [Chunk(POST, (0, 14))])
    world.graph.pages_left = 3
    with pytest.raises(TimeoutError):
        await world.fanout.take_chunks("slow", world.queue.chunks["slow"])
    assert len(world.feeds.held) == 6
    world.graph.pages_left = 2
    for _ in range(2):
        await world.fanout.take_chunks("slow", world.queue.chunks["slow"])
    assert world.everyone_has(POST)
    assert world.ledger.delivered_in_all() == 10


async def test_a_chunk_that_fails_leaves_those_beside_it_done() -> None:
    class Refusing(InMemoryFeeds):
        refused = 101

        async def deliver(
            self, user_ids: Iterable[int], post_ids: Sequence[int], *, active_only: bool = False
        ) -> PushResult:
            if self.refused in post_ids:
                raise TimeoutError
            return await super().deliver(user_ids, post_ids, active_only=active_only)

    feeds = Refusing()
    world = World(InMemoryGraph(range(5, 15)), feeds=feeds)
    chunks = [Chunk(PostRef(100 + n, 1), (0, 14)) for n in range(CHUNKS_AT_ONCE["push"])]
    with pytest.raises(TimeoutError):
        await world.fanout.take_chunks("push", chunks)
    assert {post_id for _, post_id in feeds.held} == {chunk.post.post_id for chunk in chunks} - {101}
    feeds.refused = 0
    for _ in range(2):
        await world.fanout.take_chunks("push", chunks)
        assert len(feeds.held) == world.ledger.delivered_in_all() == 10 * len(chunks)


async def test_a_chunk_ends_although_its_last_follower_left() -> None:
    world = World(InMemoryGraph(range(5, 15)))
    await world.queue.put("push", [Chunk(POST, (0, 20))])
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
            await world.fanout.take_posts([PostRef(100, author_id)])
        assert (world.feeds.held, world.queue.chunks) == (set(), {"push": [], "slow": []})
        assert world.ledger.modes == modes


async def test_one_post_that_fails_leaves_the_others_of_its_batch_done() -> None:
    world = World(InMemoryGraph(range(5, 16)))
    world.queue.refuses = {101}
    with pytest.raises(TimeoutError):
        await world.fanout.take_posts([PostRef(100 + n, 1) for n in range(3)])
    assert {chunk.post.post_id for chunk in world.queue.chunks["push"]} == {100, 102}


async def test_at_level_2_inactive_readers_are_left_out() -> None:
    world = World(InMemoryGraph(range(5, 12)))
    world.feeds.inactive = {6, 7}
    for post_id, level, entries in ((100, BackpressureLevel.ACTIVE_ONLY, 5), (101, BackpressureLevel.BEHIND, 5 + 7)):
        world.backpressure.level = level
        for _ in range(2):
            await world.fanout.take_posts([PostRef(post_id, 1)])
            assert len(world.feeds.held) == entries
            assert world.ledger.delivered_in_all() == entries


async def test_at_level_3_posts_and_waiting_chunks_go_into_the_gap() -> None:
    world = World(InMemoryGraph(range(5, 40)))
    await world.fanout.take_posts([POST])
    chunks = world.queue.chunks["push"]
    await world.fanout.take_chunks("push", chunks[:1])
    held = set(world.feeds.held)
    world.backpressure.level = BackpressureLevel.PULL
    for _ in range(2):
        await world.fanout.take_chunks("push", chunks[1:])
        await world.fanout.take_posts([PostRef(101, 1), PostRef(102, 99)])
        await world.fanout.take_posts([])
    assert world.feeds.held == held
    assert world.gaps.open == {100, 101, 102}
    assert world.pulls.skips > 0
    assert set(world.ledger.modes.values()) == {"skipped"}


async def test_a_delete_takes_the_post_out_again_and_it_never_comes_back() -> None:
    world = World(InMemoryGraph(range(5, 12)))
    await world.fanout.take_posts([POST])
    for _ in range(2):
        await world.fanout.take_deletes([POST])
        assert world.feeds.held == set()
        assert world.removals.delivered_in_all() == 7
        await world.fanout.take_posts([POST])
        assert world.feeds.held == set()


async def test_a_delete_takes_the_lanes_of_its_post_and_overtakes_its_chunks() -> None:
    world = World(InMemoryGraph(range(5, 205)))
    await world.fanout.take_posts([POST])
    pushes = list(world.queue.chunks["slow"])
    await world.fanout.take_chunks("slow", pushes[:10])
    assert len(world.feeds.held) == 100
    await world.fanout.take_deletes([POST])
    removals = world.queue.chunks["slow"][len(pushes) :]
    assert all(chunk.removes for chunk in removals)
    for _ in range(2):
        await world.fanout.take_chunks("slow", [*removals, *pushes])
        assert world.feeds.held == set()
        assert world.removals.delivered_in_all() == 200
        assert world.ledger.delivered_in_all() == 100


async def test_a_removal_goes_on_where_a_failure_left_it() -> None:
    world = World(InMemoryGraph(range(5, 15)))
    world.feeds.held = {(user, 100) for user in world.graph.ids}
    chunks = [Chunk(POST, (0, 14), removes=True)]
    world.graph.pages_left = 3
    with pytest.raises(TimeoutError):
        await world.fanout.take_chunks("push", chunks)
    assert len(world.feeds.held) == 4
    world.graph.pages_left = 2
    for _ in range(2):
        await world.fanout.take_chunks("push", chunks)
        assert world.feeds.held == set()
        assert world.removals.delivered_in_all() == 10


class Interrupted(InMemoryFeeds):
    """Something happens between the decision to push and the push."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._meanwhile = meanwhile
        self.is_away = False

    async def withdraw(self, user_ids: Iterable[int], post_id: int) -> RemovalResult:
        if self.is_away:
            raise TimeoutError
        return await super().withdraw(user_ids, post_id)

    async def deliver(
        self, user_ids: Iterable[int], post_ids: Sequence[int], *, active_only: bool = False
    ) -> PushResult:
        await self._meanwhile()
        return await super().deliver(user_ids, post_ids, active_only=active_only)


@pytest.mark.parametrize("followers", [7, 35])
@pytest.mark.parametrize("dies", [False, True])
async def test_what_is_pushed_while_a_delete_is_carried_out_is_taken_back(followers: int, dies: bool) -> None:
    """Also when the worker dies between the two: then the event comes again."""

    async def delete() -> None:
        await world.fanout.take_deletes([POST])
        await world.fanout.take_chunks("push", [chunk for chunk in world.queue.chunks["push"] if chunk.removes])
        feeds.is_away = dies

    feeds = Interrupted(delete)
    world = World(InMemoryGraph(range(5, 5 + followers)), feeds=feeds)
    world.ledger.modes[100] = "push"

    async def push() -> None:
        await world.fanout.take_posts([POST])
        await world.fanout.take_chunks("push", [chunk for chunk in world.queue.chunks["push"] if not chunk.removes])

    if dies:
        with pytest.raises(TimeoutError):
            await push()
        assert world.feeds.held != set()
        feeds.is_away = dies = False
    await push()
    assert world.feeds.held == set()


async def test_what_was_not_pushed_need_not_be_taken_out() -> None:
    for graph, post in ((InMemoryGraph([2], is_push=False), POST), (InMemoryGraph([2]), PostRef(100, 99))):
        world = World(graph)
        await world.fanout.take_posts([post])
        for _ in range(2):
            await world.fanout.take_deletes([post])
            assert (world.removals.modes, world.graph.pages_left) == ({100: "pull"}, 1_000_000)


async def test_at_level_3_deletes_are_left_to_readers_and_hold_back_their_posts() -> None:
    world = World(InMemoryGraph(range(5, 40)))
    await world.fanout.take_posts([POST])
    pushes = list(world.queue.chunks["push"])
    await world.fanout.take_deletes([POST])
    removals = world.queue.chunks["push"][len(pushes) :]
    world.backpressure.level = BackpressureLevel.PULL
    for _ in range(2):
        await world.fanout.take_deletes([PostRef(101, 1)])
        await world.fanout.take_chunks("push", removals)
    assert world.removals.modes == {100: "skipped", 101: "skipped"}
    assert (world.gaps.open, world.graph.pages_left) == (set(), 1_000_000)
    world.backpressure.level = BackpressureLevel.NORMAL
    await world.fanout.take_chunks("push", pushes)
    await world.fanout.take_posts([PostRef(101, 1)])
    assert world.feeds.held == set()


@given(st.integers(1, 35), st.integers())
async def test_in_any_order_a_deleted_post_is_in_no_list(followers: int, seed: int) -> None:
    """Of events that are delivered in part, late and again."""
    rng = Random(seed)
    world = World(InMemoryGraph(range(5, 5 + followers)))
    await world.fanout.take_posts([POST])
    todo: list[Callable[[], Awaitable[None]]] = [
        partial(world.fanout.take_posts, [POST]),
        partial(world.fanout.take_deletes, [POST]),
        partial(world.fanout.take_deletes, [POST]),
    ]
    taken = 0
    while todo or taken < len(world.queue.chunks["push"]):
        todo += [partial(world.fanout.take_chunks, "push", [c]) for c in world.queue.chunks["push"][taken:]]
        taken = len(world.queue.chunks["push"])
        step = todo.pop(rng.randrange(len(todo)))
        world.graph.pages_left = rng.randrange(5)
        with suppress(TimeoutError):
            await step()
        world.graph.pages_left = 1_000
        if rng.random() < 0.5:
            todo.append(step)
        else:
            await step()
    assert world.feeds.held == set()


@pytest.mark.parametrize(("follower_count", "lane", "deliveries"), [(7, "push", 1), (35, "push", 4), (200, "slow", 20)])
async def test_the_time_from_creation_to_delivery_is_measured_once(
    follower_count: int, lane: Lane, deliveries: int
) -> None:
    def measured() -> tuple[float, float]:
        return sample("feedmill_fanout_seconds_count", lane=lane), sample("feedmill_fanout_seconds_sum", lane=lane)

    count_before, sum_before = measured()
    world = World(InMemoryGraph(range(5, 5 + follower_count)))
    post = PostRef(first_id_at(now_ms() - 40_000), POST.author_id)
    for _ in range(2):
        await world.fanout.take_posts([post])
        await world.fanout.take_chunks(lane, world.queue.chunks[lane])
    count, total = measured()
    assert count - count_before == deliveries
    assert (total - sum_before) / deliveries == pytest.approx(40, abs=10)


def test_the_modes_of_the_catalog_are_those_of_delivery_progress() -> None:
    assert set(BY_NAME["feedmill_fanout_posts_total"].labels["mode"]) == set(get_args(Mode))
    assert set(BY_NAME["feedmill_fanout_seconds"].labels["lane"]) == set(get_args(Lane))
