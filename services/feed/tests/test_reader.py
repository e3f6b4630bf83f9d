import asyncio
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from cachetools import TTLCache
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.core.errors import NotFoundError, OverloadedError, UnavailableError
from libs.common.web.paging import InvalidCursorError
from libs.contracts.events import UserBanned, UserUnbanned
from libs.feedlists import UnpushedRange
from services.feed.domain.feed import Order
from services.feed.ports import CACHED_S, CachedPage, Position
from services.feed.service.reader import COUNTS_S, Served, Updates
from services.feed.tests.world import World

READER, PUSHED, PULLED, STRANGER = 1, 2, 3, 4
WEEK_MINUTES = 7 * 24 * 60


@pytest.fixture
def world() -> World:
    world = World()
    world.graph.follows[READER] = {PUSHED, PULLED}
    world.graph.pull = {PULLED}
    return world


def shown(served: Served) -> list[int]:
    return [int(post["post_id"]) for post in orjson.loads(served.body)["posts"]]


async def pages(world: World, order: Order, limit: int) -> list[list[int]]:
    found, cursor = [], None
    while True:
        served = await world.reader.page(READER, order, limit, cursor)
        body = orjson.loads(served.body)
        assert body["has_more"] == (body["next_cursor"] is not None)
        found.append(shown(served))
        cursor = body["next_cursor"]
        if cursor is None:
            return found


async def test_pushed_pulled_and_own_posts_are_sorted_by_time(world: World) -> None:
    expected = [await world.post(a, minutes_ago=m) for m, a in enumerate((READER, PULLED, PUSHED, PULLED))]
    await world.post(STRANGER)
    served = await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None)
    assert shown(served) == expected
    sources = [post["source"] for post in orjson.loads(served.body)["posts"]]
    assert sources == ["own", "pulled", "pushed", "pulled"]
    assert (served.quality, served.cache) == ("normal", "miss")


async def test_cached_pages_are_served_while_ranking_is_overloaded(world: World) -> None:
    first = [await world.post(PUSHED, minutes_ago=i) for i in range(5)]
    served = await world.reader.page(READER, Order.RANKED, 3, None)
    async with world.ranking.enter():
        for order, cursor in ((Order.CHRONOLOGICAL, None), (Order.RANKED, orjson.loads(served.body)["next_cursor"])):
            with pytest.raises(OverloadedError):
                await world.reader.page(READER, order, 3, cursor)
        with pytest.raises(OverloadedError):
            await world.reader.updates(READER, orjson.loads(served.body)["feed_session_id"])
        world.cache.page = CachedPage(served.body, 1)
        assert (await world.reader.page(READER, Order.RANKED, 3, None)).cache == "hit"
    world.cache.page = None
    assert len(shown(await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None))) == len(first)


async def test_a_list_is_built_on_first_read_and_pushed_into_after_that(world: World) -> None:
    first = await world.post(PUSHED, minutes_ago=5)
    assert shown(await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None)) == [first]
    calls = world.posts.calls
    second = await world.post(PUSHED)
    assert shown(await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None)) == [second, first]
    assert world.posts.calls == calls + 1  # for posts older than the window; the list is not rebuilt


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("limit", [1, 3, 20])
async def test_paging_to_the_end_shows_each_post_once(world: World, order: Order, limit: int) -> None:
    expected = {await world.post((PUSHED, PULLED, READER)[i % 3], minutes_ago=i) for i in range(45)}
    found = await pages(world, order, limit)
    assert [post for page in found for post in page] == list(dict.fromkeys(post for page in found for post in page))
    assert {post for page in found for post in page} == expected
    assert all(len(page) == limit for page in found[:-1])
    assert found[-1]


async def test_chronological_paging_continues_with_records_below_a_full_list(world: World) -> None:
    expected = [await world.post(PUSHED, minutes_ago=i / 10) for i in range(620)]
    found = await pages(world, Order.CHRONOLOGICAL, 100)
    assert [post for page in found for post in page] == expected


@pytest.mark.parametrize("order", list(Order))
async def test_new_posts_do_not_change_the_next_pages(world: World, order: Order) -> None:
    expected = {await world.post(PUSHED, minutes_ago=i + 1) for i in range(9)}
    first = await world.reader.page(READER, order, 5, None)
    await world.post(PUSHED)
    second = await world.reader.page(READER, order, 5, orjson.loads(first.body)["next_cursor"])
    assert set(shown(first)) | set(shown(second)) == expected
    assert not set(shown(first)) & set(shown(second))


@pytest.mark.parametrize("order", list(Order))
async def test_pages_are_filled_up_in_place_of_deleted_posts(world: World, order: Order) -> None:
    posts = [await world.post(PUSHED, minutes_ago=i) for i in range(30)]
    for gone in posts[::2]:
        del world.posts.all[gone]
    found = await pages(world, order, 5)
    assert [len(page) for page in found] == [5, 5, 5]
    assert {p for page in found for p in page} == set(posts[1::2])
    assert not set(posts[::2]) & set(world.lists.lists[READER].post_ids)


async def test_unfollowing_takes_effect_on_the_next_read(world: World) -> None:
    await world.post(PUSHED)
    await world.reader.page(READER, Order.RANKED, 20, None)
    await world.unfollow(READER, PUSHED)
    assert shown(await world.reader.page(READER, Order.RANKED, 20, None)) == []


async def test_followees_are_asked_for_again_only_after_a_change(world: World) -> None:
    post = await world.post(PULLED)

    async def read() -> list[int]:
        return shown(await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None))

    assert await read() == [post]
    asked = world.graph.asked_followees
    assert await read() == [post]
    assert world.graph.asked_followees == asked
    world.graph.banned.add(PULLED)
    await world.stamps.invalidate([UserBanned(user_id=PULLED)])
    assert await read() == []
    world.graph.banned.clear()
    await world.stamps.invalidate([UserUnbanned(user_id=PULLED)])
    assert await read() == [post]
    world.graph.follows[READER].discard(PULLED)  # the stamp was lost
    world.now_s += CACHED_S + 1
    assert await read() == []


async def test_counts_of_a_cached_page_are_read_again_after_a_few_seconds(world: World) -> None:
    post = await world.post(PUSHED)
    content = (await world.reader.page(READER, Order.RANKED, 20, None)).body.partition(b',"cached":')[0] + b"}"
    world.engagement.likes = 9

    async def likes(counts_age_s: int) -> int:
        world.cache.page = CachedPage(content, 30, counts_age_s)
        served = await world.reader.page(READER, Order.RANKED, 20, None)
        assert (shown(served), served.cache) == ([post], "hit")
        return int(orjson.loads(served.body)["posts"][0]["engagement"]["like_count"])

    assert await likes(COUNTS_S) == 1
    assert await likes(COUNTS_S + 1) == 9
    assert world.cache.page is not None
    assert b'"like_count":9' in world.cache.page.body
    world.engagement.down = True
    assert await likes(COUNTS_S + 1) == 1


async def test_a_reader_whose_memory_no_longer_holds_the_followees_is_served(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = await world.post(PULLED)
    monkeypatch.setattr(world.readers, "_known", TTLCache(1, CACHED_S, getsizeof=lambda _: 2))
    assert shown(await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None)) == [post]


async def test_ranked_ends_with_the_window_and_chronological_with_the_first_post(world: World) -> None:
    young = await world.post(PULLED, minutes_ago=WEEK_MINUTES - 1)
    old = await world.post(PUSHED, minutes_ago=WEEK_MINUTES + 1)
    assert await pages(world, Order.RANKED, 1) == [[young]]
    assert await pages(world, Order.CHRONOLOGICAL, 1) == [[young], [old]]


async def test_a_busy_pulled_author_hides_no_other_posts(world: World) -> None:
    expected = {await world.post(PULLED, minutes_ago=i) for i in range(530)}
    expected |= {await world.post(PUSHED, minutes_ago=i * 20) for i in range(100)}
    for order in Order:
        found = [post for page in await pages(world, order, 100) for post in page]
        assert len(found) == len(expected)
        assert set(found) == expected


async def test_liked_posts_rank_before_newer_ones(world: World) -> None:
    liked = await world.post(PUSHED, minutes_ago=30, likes=500)
    plain = await world.post(PULLED)
    assert shown(await world.reader.page(READER, Order.RANKED, 20, None)) == [liked, plain]


async def test_without_the_graph_last_known_followees_are_used_and_coverage_is_incomplete(world: World) -> None:
    post = await world.post(PUSHED)
    await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None)
    world.graph.down = True
    world.now_s += CACHED_S + 1
    served = await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None)
    assert shown(served) == [post]
    assert served.quality == "degraded"
    assert orjson.loads(served.body)["coverage"] == {
        "complete": False,
        "gaps": [{"reason": "source_down", "since": None, "until": None}],
        "delivery": "normal",
    }
    with pytest.raises(UnavailableError):
        await world.reader.page(STRANGER, Order.CHRONOLOGICAL, 20, None)


async def test_without_marks_the_counts_of_the_posts_are_shown(world: World) -> None:
    await world.post(PUSHED, likes=7)
    world.engagement.down = True
    served = await world.reader.page(READER, Order.RANKED, 20, None)
    assert orjson.loads(served.body)["posts"][0]["engagement"]["like_count"] == 7
    assert served.quality == "degraded"


async def test_a_cursor_belongs_to_one_reader_and_continues_in_its_own_order(world: World) -> None:
    for i in range(5):
        await world.post(PUSHED, minutes_ago=i)
    cursor = orjson.loads((await world.reader.page(READER, Order.RANKED, 2, None)).body)["next_cursor"]
    with pytest.raises(InvalidCursorError):
        await world.reader.page(STRANGER, Order.RANKED, 2, cursor)
    pages = [await world.reader.page(READER, order, 2, cursor) for order in Order]
    assert shown(pages[0]) == shown(pages[1])


async def test_new_posts_of_others_are_counted_with_and_without_the_session(world: World) -> None:
    await world.post(PUSHED, minutes_ago=1)
    session_id = orjson.loads((await world.reader.page(READER, Order.RANKED, 2, None)).body)["feed_session_id"]
    assert await world.reader.updates(READER, session_id) == Updates(0, None)
    await world.post(READER)
    await world.post(STRANGER)
    newest = [await world.post(PUSHED), await world.post(PULLED)][-1]
    assert await world.reader.updates(READER, session_id) == Updates(2, newest)
    world.cache.pinned.clear()
    assert await world.reader.updates(READER, session_id) == Updates(2, newest)
    with pytest.raises(NotFoundError):
        await world.reader.updates(READER, "no session")


@pytest.mark.parametrize("order", list(Order))
async def test_a_post_that_becomes_visible_late_is_new_whatever_its_id(world: World, order: Order) -> None:
    """The pictures of such a post were being processed when the session began."""
    seen = [await world.post(PUSHED, minutes_ago=minutes) for minutes in (3, 1)]
    page = orjson.loads((await world.reader.page(READER, order, 2, None)).body)
    assert {int(post["post_id"]) for post in page["posts"]} == set(seen)
    late = await world.post(PUSHED, minutes_ago=2)
    assert await world.reader.updates(READER, page["feed_session_id"]) == Updates(1, late)


async def test_unpushed_posts_are_pulled_and_then_merged_into_the_list(world: World) -> None:
    pushed = [await world.post(PUSHED, minutes_ago=9)]
    await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None)
    skipped = [await world.post(PUSHED, minutes_ago=m, pushed=False) for m in (8, 6)]
    world.unpushed.ranges = [UnpushedRange(1, skipped[0], skipped[-1], is_open=True)]
    served = await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None)
    assert shown(served) == [*skipped[::-1], *pushed]
    coverage = orjson.loads(served.body)["coverage"]
    assert (coverage["complete"], coverage["gaps"][0]["reason"]) == (True, "lossy")
    assert world.lists.lists[READER].post_ids == tuple(pushed)
    world.unpushed.ranges = [UnpushedRange(1, skipped[0], skipped[-1], is_open=False)]
    served = await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None)
    assert shown(served) == [*skipped[::-1], *pushed]
    assert orjson.loads(served.body)["coverage"]["gaps"] == []
    assert world.lists.lists[READER].post_ids == (*skipped[::-1], *pushed)
    assert world.lists.lists[READER].merged_up_to == 1


async def test_a_saved_position_is_returned(world: World) -> None:
    with pytest.raises(NotFoundError):
        await world.reader.position(READER)
    await world.reader.save_position(READER, Position("1.00", 7))
    assert await world.reader.position(READER) == Position("1.00", 7)


async def test_concurrent_requests_share_one_assembled_first_page(world: World) -> None:
    await world.post(PUSHED)
    await world.reader.page(READER, Order.RANKED, 20, None)
    sessions = len(world.cache.pinned)
    served = await asyncio.gather(*(world.reader.page(READER, Order.RANKED, 20, None) for _ in range(5)))
    assert len({one.body for one in served}) == 1
    assert len(world.cache.pinned) == sessions + 1


async def test_a_slow_rebuild_is_reported_and_finishes_after_the_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted = await world.post(PUSHED)
    recent, proceed = world.posts.recent, asyncio.Event()

    async def slow(author_ids: Iterable[int], *bounds: Any) -> dict[int, list[int]]:
        if PUSHED in set(author_ids) and bounds[1] is None:
            await proceed.wait()
        return await recent(author_ids, *bounds)

    monkeypatch.setattr(world.posts, "recent", slow)
    monkeypatch.setattr("services.feed.service.sources.REBUILD_S", 0.01)
    served = await world.reader.page(READER, Order.RANKED, 20, None)
    assert shown(served) == []
    assert orjson.loads(served.body)["coverage"]["gaps"][0]["reason"] == "rebuilding"
    assert orjson.loads(served.body)["has_more"] is False
    proceed.set()
    assert shown(await world.reader.page(READER, Order.RANKED, 20, None)) == [posted]


@pytest.mark.parametrize("order", list(Order))
async def test_older_posts_are_not_shown_while_a_slow_rebuild_runs(
    world: World, monkeypatch: pytest.MonkeyPatch, order: Order
) -> None:
    await world.post(PUSHED, minutes_ago=WEEK_MINUTES + 1)
    await world.lists.begin(READER)
    arrived = await world.post(PUSHED)
    monkeypatch.setattr("services.feed.service.sources.REBUILD_S", 0)
    served = await world.reader.page(READER, order, 20, None)
    assert shown(served) == [arrived]
    assert orjson.loads(served.body)["next_cursor"] is None


async def test_cursors_stay_short_however_often_the_session_is_lost(world: World) -> None:
    expected = {await world.post((PUSHED, PULLED)[i % 2], minutes_ago=i) for i in range(1_300)}
    found, cursor = set[int](), None
    while True:
        world.cache.pinned.clear()
        served = await world.reader.page(READER, Order.RANKED, 100, cursor)
        assert not found & set(shown(served))
        found |= set(shown(served))
        cursor = orjson.loads(served.body)["next_cursor"]
        if cursor is None:
            break
        assert len(cursor) < 8_000
    assert found == expected


async def test_updates_are_counted_without_redis(world: World) -> None:
    page = orjson.loads((await world.reader.page(READER, Order.RANKED, 2, None)).body)
    world.cache.down = True
    new = await world.post(PUSHED)
    assert await world.reader.updates(READER, page["feed_session_id"]) == Updates(1, new)


async def test_a_list_is_built_from_followees_read_after_it_was_begun(world: World) -> None:
    author, older = STRANGER, await world.post(STRANGER, minutes_ago=9)
    begin = world.lists.begin

    async def begin_after_a_follow(user_id: int) -> None:
        world.graph.follows[READER].add(author)  # the handler of its event finds no list yet
        await begin(user_id)

    world.lists.begin = begin_after_a_follow  # type: ignore[method-assign]
    await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None)
    assert world.lists.lists[READER].post_ids == (older,)


async def test_unpushed_posts_are_not_merged_while_followees_may_be_outdated(world: World) -> None:
    seen = await world.post(PUSHED)
    await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None)
    skipped = await world.post(PUSHED, pushed=False)
    world.unpushed.ranges = [UnpushedRange(1, skipped, skipped, is_open=False)]
    world.graph.down = True
    world.now_s += CACHED_S + 1
    assert shown(await world.reader.page(READER, Order.CHRONOLOGICAL, 20, None)) == [skipped, seen]
    assert world.lists.lists[READER].merged_up_to == 0


@settings(max_examples=50)
@given(st.lists(st.sampled_from([READER, PUSHED, PULLED]), max_size=60), st.integers(1, 25), st.sampled_from(Order))
async def test_paging_any_feed_shows_each_post_once(authors: list[int], limit: int, order: Order) -> None:
    world = World()
    world.graph.follows[READER] = {PUSHED, PULLED}
    world.graph.pull = {PULLED}
    expected = {await world.post(author, minutes_ago=i) for i, author in enumerate(authors)}
    found = [post for page in await pages(world, order, limit) for post in page]
    assert len(found) == len(expected)
    assert set(found) == expected
