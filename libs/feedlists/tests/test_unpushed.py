"""UnpushedRanges on a real Redis."""

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from libs.common.core.ids import first_id_at, now_ms
from libs.feedlists.lists import FeedLists
from libs.feedlists.unpushed import WINDOW_S, UnpushedRange, UnpushedRanges

pytestmark = pytest.mark.stores
READERS = range(16)  # some in each bucket


@pytest.fixture
def lists(redis: "Redis", prefix: str) -> FeedLists:
    return FeedLists(redis, prefix, buckets=4)


@pytest.fixture
def gaps(redis: "Redis", lists: FeedLists) -> UnpushedRanges:
    return UnpushedRanges(redis, lists)


async def seen(gaps: UnpushedRanges) -> list[UnpushedRange]:
    """What all readers see, each with numbers of the bucket's own."""
    first, *others = [await gaps.of(reader_id) for reader_id in READERS]
    for other in others:
        assert [replace(gap, gap_id=0) for gap in other] == [replace(gap, gap_id=0) for gap in first]
    return first


async def test_an_open_gap_is_the_hull_of_what_came(gaps: UnpushedRanges) -> None:
    post = first_id_at(now_ms())
    assert await seen(gaps) == []
    await gaps.extend([])
    assert await seen(gaps) == []
    for post_ids in ([post + 5, post + 3], [post + 9], [post + 1, post + 4], [post + 4]):
        await gaps.extend(post_ids)
        await gaps.extend(post_ids)
    [gap] = await seen(gaps)
    assert (gap.first_id, gap.last_id, gap.is_open) == (post + 1, post + 9, True)


async def test_ids_of_different_length_are_compared_as_numbers(gaps: UnpushedRanges) -> None:
    await gaps.extend([10**18])
    await gaps.extend([10**18 - 1])
    [gap] = await seen(gaps)
    assert (gap.first_id, gap.last_id) == (10**18 - 1, 10**18)


async def test_a_closed_gap_does_not_grow(gaps: UnpushedRanges) -> None:
    post = first_id_at(now_ms())
    for n in range(3):
        await gaps.extend([post + n])
        for _ in range(2):
            await gaps.close()
    await gaps.extend([post])
    found = await seen(gaps)
    assert [(gap.first_id - post, gap.is_open) for gap in found] == [(0, False), (1, False), (2, False), (0, True)]
    assert len({gap.gap_id for gap in found}) == 4


async def test_gaps_older_than_any_feed_are_forgotten(gaps: UnpushedRanges, redis: "Redis", lists: FeedLists) -> None:
    now = first_id_at(now_ms())
    old = first_id_at(now_ms() - WINDOW_S * 1_000) - 1
    await gaps.extend([old])
    assert await seen(gaps) == []
    await gaps.close()
    await gaps.extend([now])
    [gap] = await seen(gaps)
    for key in lists.bucket_keys("gaps"):
        assert len(await redis.hgetall(key)) == len({"open", "last", gap.gap_id})
        assert 0 < await redis.ttl(key) <= WINDOW_S


async def test_an_open_gap_keeps_what_is_old_while_it_grows(gaps: UnpushedRanges) -> None:
    old = first_id_at(now_ms() - WINDOW_S * 1_000) - 1
    await gaps.extend([old])
    await gaps.extend([first_id_at(now_ms() - WINDOW_S * 1_000 + 60_000)])
    [gap] = await seen(gaps)
    assert gap.first_id == old


async def test_a_redis_without_functions_gets_them(gaps: UnpushedRanges, redis: "Redis") -> None:
    await redis.function_flush()
    await gaps.extend([first_id_at(now_ms())])
    assert len(await seen(gaps)) == 1


async def test_a_server_in_the_place_of_another_lacks_its_last_writes(
    gaps: UnpushedRanges, lists: FeedLists, redis: "Redis"
) -> None:
    """Here it is the same one, whose name in the buckets is another's."""
    for _ in range(2):
        assert not await gaps.open_after_failover()
        assert await seen(gaps) == []
    post = first_id_at(now_ms() - 60_000)
    for key in lists.bucket_keys("gaps"):
        await redis.hset(key, "server", "another")
    for _ in range(2):
        assert await gaps.open_after_failover()
    await gaps.mark_failover_handled()
    assert not await gaps.open_after_failover()
    await gaps.close()
    [gap] = await seen(gaps)
    assert gap.first_id < post < gap.last_id
    assert not gap.is_open
