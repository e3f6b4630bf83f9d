"""Gaps on a real Redis."""

import pytest
from redis.asyncio import Redis

from libs.common.ids import first_id_at, now_ms
from libs.feedlists.gaps import WINDOW_MS, Gaps

pytestmark = pytest.mark.stores


@pytest.fixture
def gaps(redis: "Redis", prefix: str) -> Gaps:
    return Gaps(redis, prefix)


async def test_an_open_gap_is_the_hull_of_what_came(gaps: Gaps) -> None:
    post = first_id_at(now_ms())
    assert await gaps.all() == []
    await gaps.extend([])
    assert await gaps.all() == []
    for post_ids in ([post + 5, post + 3], [post + 9], [post + 1, post + 4], [post + 4]):
        await gaps.extend(post_ids)
        await gaps.extend(post_ids)
    [gap] = await gaps.all()
    assert (gap.first_id, gap.last_id, gap.is_open) == (post + 1, post + 9, True)


async def test_ids_of_different_length_are_compared_as_numbers(gaps: Gaps) -> None:
    await gaps.extend([10**18])
    await gaps.extend([10**18 - 1])
    [gap] = await gaps.all()
    assert (gap.first_id, gap.last_id) == (10**18 - 1, 10**18)


async def test_a_closed_gap_does_not_grow(gaps: Gaps) -> None:
    post = first_id_at(now_ms())
    for n in range(3):
        await gaps.extend([post + n])
        for _ in range(2):
            await gaps.close()
    await gaps.extend([post])
    found = await gaps.all()
    assert [(gap.first_id - post, gap.is_open) for gap in found] == [(0, False), (1, False), (2, False), (0, True)]
    assert len({gap.gap_id for gap in found}) == 4


async def test_gaps_older_than_any_feed_are_forgotten(gaps: Gaps, redis: "Redis", prefix: str) -> None:
    old = first_id_at(now_ms() - WINDOW_MS) - 1
    await gaps.extend([old])
    assert await gaps.all() == []
    await gaps.close()
    assert list(await redis.hgetall(f"{prefix}gaps")) == [b"last"]
    await gaps.extend([old, old + 1_000_000_000])
    assert len(await gaps.all()) == 1
