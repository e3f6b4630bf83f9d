"""Feed lists on a real Redis."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from libs.feedlists.lists import (
    ACTIVE_S,
    CAP,
    FEEDS_A_CALL,
    FEEDS_A_WITHDRAWAL,
    SLACK,
    SLICE,
    FeedLists,
    PushResult,
    RemovalResult,
)

pytestmark = pytest.mark.stores
BASE = 381_000_000_000_000_000


@pytest.fixture
def lists(redis: "Redis", prefix: str) -> FeedLists:
    return FeedLists(redis, prefix, buckets=4)


async def held(lists: FeedLists, user_id: int) -> list[int]:
    found = await lists.read(user_id)
    assert found is not None
    return list(found.post_ids)


async def test_push_leaves_absent_lists_absent(lists: FeedLists) -> None:
    assert await lists.deliver([1, 2, 3], [BASE]) == PushResult(0, 0, 0)
    assert await lists.read(1) is None


async def test_a_begun_list_takes_pushes_and_says_that_it_is_building(lists: FeedLists) -> None:
    await lists.begin(1)
    assert await lists.deliver([1], [BASE]) == PushResult(1, 0, 0)
    found = await lists.read(1)
    assert found is not None
    assert (found.post_ids, found.building, found.complete) == ((BASE,), True, False)


async def test_redelivery_writes_nothing(lists: FeedLists) -> None:
    await lists.begin(1)
    await lists.deliver([1], [BASE + 2, BASE + 1])
    assert await lists.deliver([1], [BASE + 1]) == PushResult(0, 1, 0)
    assert await lists.deliver([1], [BASE + 1, BASE + 2]) == PushResult(0, 2, 0)
    assert await held(lists, 1) == [BASE + 2, BASE + 1]


async def test_posts_of_many_authors_share_calls(lists: FeedLists) -> None:
    """Each goes to its own readers, in order and idempotently, whatever the order they are given in."""
    for user_id in range(1, 30):
        await lists.begin(user_id)
    posts = [(BASE + 2, range(1, 40)), (BASE + 1, range(10, 20)), (BASE + 3, range(15, 16)), (BASE + 4, [])]
    first = [PushResult(29, 0, 0), PushResult(10, 0, 0), PushResult(1, 0, 0), PushResult(0, 0, 0)]
    assert await lists.deliver_each(posts) == first
    assert await lists.deliver_each(posts) == [PushResult(0, p.written, 0) for p in first]
    assert await held(lists, 15) == [BASE + 3, BASE + 2, BASE + 1]
    assert await held(lists, 29) == [BASE + 2]
    assert await lists.deliver_each([(BASE, [15])]) == [PushResult(1, 0, 0)]
    assert await held(lists, 15) == [BASE + 3, BASE + 2, BASE + 1, BASE]
    assert await lists.deliver_each([]) == []


async def test_more_readers_than_one_call_takes_are_all_reached_once(lists: FeedLists, redis: "Redis") -> None:
    readers = range(1, SLICE + 2 * FEEDS_A_CALL)
    async with redis.pipeline(transaction=False) as pipe:
        for user_id in readers:
            pipe.rpush(lists.key(user_id), "0")
        await pipe.execute()
    assert await lists.deliver(readers, [BASE]) == PushResult(len(readers), 0, 0)
    assert await lists.deliver(readers, [BASE]) == PushResult(0, len(readers), 0)
    posts = [(BASE + n, readers) for n in (3, 1, 2)]
    assert await lists.deliver_each(posts) == [PushResult(len(readers), 0, 0)] * 3
    assert await lists.deliver_each(posts) == [PushResult(0, len(readers), 0)] * 3
    for user_id in (1, len(readers)):
        assert await held(lists, user_id) == [BASE + 3, BASE + 2, BASE + 1, BASE]


async def test_late_posts_land_in_place(lists: FeedLists) -> None:
    await lists.begin(1)
    posts = [BASE + i for i in range(60)]
    for post in random.sample(posts, len(posts)):
        await lists.deliver([1], [post])
    assert await held(lists, 1) == posts[::-1]


async def test_ids_of_different_length_keep_their_order(lists: FeedLists) -> None:
    await lists.begin(1)
    for post in (10**18 - 1, 10**18, 5):
        await lists.deliver([1], [post])
    assert await held(lists, 1) == [10**18, 10**18 - 1, 5]


async def test_a_full_list_keeps_the_youngest_and_forgets_that_it_was_complete(lists: FeedLists) -> None:
    await lists.begin(1)
    await lists.merge(1, [], finish=True)
    first = await lists.read(1)
    assert first is not None
    assert first.complete
    for i in range(CAP + SLACK + 2):
        await lists.deliver([1], [BASE + i])
    found = await lists.read(1)
    assert found is not None
    assert not found.complete
    assert found.post_ids[0] == BASE + CAP + SLACK + 1
    assert CAP <= len(found.post_ids) <= CAP + SLACK
    for late in (BASE - 1, found.post_ids[-1] - 1):
        assert await lists.deliver([1], [late]) == PushResult(0, 0, 0), "below the cut others are missing, too"
        assert await lists.merge(1, [late], finish=False)
    again = await lists.read(1)
    assert again is not None
    assert again.post_ids == found.post_ids[:CAP]


async def test_merge_unites_and_completes(lists: FeedLists) -> None:
    await lists.begin(1)
    await lists.deliver([1], [BASE + 5, BASE + 9])
    assert await lists.merge(1, [BASE + 7, BASE + 5, BASE + 1], finish=True)
    found = await lists.read(1)
    assert found is not None
    assert found.post_ids == (BASE + 9, BASE + 7, BASE + 5, BASE + 1)
    assert found.complete


async def test_a_list_that_is_built_from_as_many_as_it_may_hold_is_cut_off(lists: FeedLists) -> None:
    await lists.begin(1)
    await lists.merge(1, range(BASE, BASE + CAP), finish=True)
    found = await lists.read(1)
    assert found is not None
    assert (len(found.post_ids), found.complete, found.building) == (CAP, False, False)


async def test_merge_into_nothing_says_so(lists: FeedLists) -> None:
    assert not await lists.merge(1, [BASE], finish=True)
    assert await lists.read(1) is None


async def test_functions_come_back_after_a_flush(lists: FeedLists, redis: "Redis") -> None:
    await lists.begin(1)
    await redis.function_flush()
    assert await lists.deliver([1], [BASE]) == PushResult(1, 0, 0)


async def test_remove_takes_out(lists: FeedLists) -> None:
    await lists.begin(1)
    await lists.deliver([1], [BASE, BASE + 1])
    await lists.remove(1, [BASE])
    assert await held(lists, 1) == [BASE + 1]


async def test_a_withdrawal_takes_out_of_the_lists_that_there_are_and_again_finds_them_without(
    lists: FeedLists,
) -> None:
    readers = range(1, 2 * FEEDS_A_WITHDRAWAL)
    for user_id in readers:
        await lists.begin(user_id)
    await lists.deliver(readers, [BASE, BASE + 1, BASE + 2])
    await lists.remove(1, [BASE + 1])
    for taken, without in ((len(readers) - 1, 1), (0, len(readers))):
        assert await lists.withdraw([*readers, 10_000], BASE + 1) == RemovalResult(taken, without)
    assert await held(lists, 2) == [BASE + 2, BASE]
    assert await lists.withdraw([], BASE) == RemovalResult(0, 0)


async def test_a_delivery_done_again_finds_all_it_wrote(lists: FeedLists) -> None:
    for user_id in (1, 2):
        await lists.begin(user_id)
    posts = [BASE + 2, BASE]
    assert await lists.deliver([1, 2, 3], posts) == PushResult(4, 0, 0)
    assert await lists.deliver([1, 2, 3], posts) == PushResult(0, 4, 0)
    assert await lists.deliver([1], [BASE + 1]) == PushResult(1, 0, 0)
    assert await lists.deliver([], posts) == PushResult(0, 0, 0)


async def test_lists_of_the_inactive_are_let_go_instead_of_written(lists: FeedLists, redis: "Redis") -> None:
    for user_id in (1, 2):
        await lists.begin(user_id)
    await redis.expire(lists.key(2), ACTIVE_S - 1)
    assert await lists.deliver([1, 2, 3], [BASE], active_only=True) == PushResult(1, 0, 1)
    assert await lists.deliver([1, 2, 3], [BASE], active_only=True) == PushResult(0, 1, 0)
    assert await lists.read(2) is None
    await lists.begin(2)
    assert await lists.deliver([2], [BASE + 1], active_only=True) == PushResult(1, 0, 0)


async def test_merging_unpushed_posts_stores_the_number_of_the_range(lists: FeedLists) -> None:
    assert not await lists.merge_unpushed(1, [BASE], 7)
    await lists.begin(1)
    await lists.deliver([1], [BASE + 5])
    for gap in (7, 6):  # a late merge of an older range does not lower the number
        assert await lists.merge_unpushed(1, [BASE, BASE + 1], gap)
        found = await lists.read(1)
        assert found is not None
        assert (found.post_ids, found.merged_up_to) == ((BASE + 5, BASE + 1, BASE), 7)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(1, 300), min_size=1, max_size=8)), max_size=25))
async def test_any_interleaving_holds_the_set_of_what_came(
    lists: FeedLists, steps: list[tuple[bool, list[int]]]
) -> None:
    await lists.begin(77)
    expected: set[int] = set()
    for is_push, offsets in steps:
        posts = [BASE + offset for offset in offsets]
        if is_push:
            await lists.deliver([77], posts)
        else:
            await lists.merge(77, posts, finish=False)
        expected |= set(posts)
    assert await held(lists, 77) == sorted(expected, reverse=True)
    await lists.remove(77, expected)


async def test_a_swap_keeps_what_was_pushed_since_the_snapshot(lists: FeedLists) -> None:
    assert await lists.snapshot(1) is None
    await lists.begin(1)
    await lists.merge(1, [BASE + 1, BASE + 5], finish=True)
    snapshot = await lists.snapshot(1)
    assert snapshot is not None
    assert snapshot.post_ids == (BASE + 5, BASE + 1)
    await lists.deliver([1], [BASE + 3, BASE + 9])
    assert await lists.swap(1, [BASE + 1, BASE + 2], complete=True)
    found = await lists.read(1)
    assert found is not None
    assert found.post_ids == (BASE + 9, BASE + 3, BASE + 2, BASE + 1)
    assert (found.complete, found.building) == (True, False)
    assert not await lists.swap(1, [], complete=True), "the snapshot is used up"
    assert await held(lists, 1) == list(found.post_ids)


async def test_readers_of_a_bucket_are_found(lists: FeedLists) -> None:
    for reader in range(1, 9):
        await lists.begin(reader)
        await lists.deliver([reader], [BASE + 1, BASE])
    found = [reader for bucket in range(4) async for reader in lists.readers(bucket)]
    assert sorted(set(found)) == list(range(1, 9))
