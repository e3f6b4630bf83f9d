"""What is in a feed, why, and from when to when."""

import asyncio

import pytest

from libs.common.testing.eventually import eventually
from ops.client import Account, Api
from tests.conftest import PUSH_THRESHOLD
from tests.e2e.world import Someone, feed, feed_shows, follow, publish

pytestmark = pytest.mark.stack


async def crowd(api: Api, someone: Someone, author: Account, size: int) -> list[Account]:
    people = await asyncio.gather(*(someone() for _ in range(size)))
    for one in people:
        await follow(api, one, author)
    return people


async def test_an_own_post_is_there_at_once(api: Api, someone: Someone) -> None:
    author = await someone()
    for order in ("chronological", "ranked"):
        assert await feed(api, author, order=order) == []  # and now this empty page is cached
    (post_id,) = await publish(api, author)
    for order in ("chronological", "ranked"):
        assert [(post["post_id"], post["source"]) for post in await feed(api, author, order=order)] == [
            (post_id, "own")
        ]


async def test_a_new_follower_sees_earlier_posts_and_later_ones(api: Api, someone: Someone) -> None:
    author, reader = await someone(), await someone()
    earlier = await publish(api, author, 3)
    assert await feed(api, reader) == []
    await follow(api, reader, author)
    await feed_shows(api, reader, earlier)
    (later,) = await publish(api, author)
    for post in await feed_shows(api, reader, [*earlier, later]):
        assert post["source"] == "pushed"


async def test_unfollowing_removes_and_following_again_brings_back(api: Api, someone: Someone) -> None:
    left, kept, reader = await someone(), await someone(), await someone()
    for author in (left, kept):
        await follow(api, reader, author)
    gone, stays = await publish(api, left, 2), await publish(api, kept)
    await feed_shows(api, reader, [*gone, *stays])
    assert (await api.send("DELETE", f"/users/{left.user_id}/follow", reader)).status_code == 204
    await feed_shows(api, reader, stays)
    await follow(api, reader, left)
    await feed_shows(api, reader, [*gone, *stays])


async def test_a_removed_follower_sees_nothing_more(api: Api, someone: Someone) -> None:
    author, reader = await someone(), await someone()
    await follow(api, reader, author)
    posted = await publish(api, author)
    await feed_shows(api, reader, posted)
    assert (await api.send("DELETE", f"/followers/{reader.user_id}", author)).status_code == 204
    await feed_shows(api, reader, [])


async def test_authors_of_many_are_pulled(api: Api, someone: Someone) -> None:
    author = await someone()
    people = await crowd(api, someone, author, PUSH_THRESHOLD + 1)
    for one in people:
        await feed(api, one)
    posted = await publish(api, author, 2)
    for one in people[:3]:
        posts = await feed_shows(api, one, posted)  # though a page was cached
        assert {post["source"] for post in posts} == {"pulled"}


async def test_an_author_who_becomes_popular_loses_no_post(api: Api, someone: Someone) -> None:
    author = await someone()
    first, *_ = await crowd(api, someone, author, PUSH_THRESHOLD - 1)
    pushed = await publish(api, author)
    assert (await feed_shows(api, first, pushed))[0]["source"] == "pushed"
    newcomer, *_ = await crowd(api, someone, author, 2)
    pulled = await publish(api, author)
    for one in (first, newcomer):
        posts = await feed_shows(api, one, pushed + pulled)
        assert posts[0]["post_id"] == pulled[0], "newest first, whichever way it came"


async def test_the_first_read_of_all_builds_the_feed(api: Api, someone: Someone) -> None:
    authors, reader = [await someone(), await someone()], await someone()
    posted = [post_id for author in authors for post_id in await publish(api, author, 2)]
    for author in authors:
        await follow(api, reader, author)

    async def whole() -> bool:
        page = await api.call("GET", "/feed", reader, params={"order": "chronological"})
        shown = [post["post_id"] for post in page["posts"]]
        assert set(shown) == set(posted) or not page["coverage"]["complete"], "a gap that is not told"
        return len(shown) == len(posted) and page["coverage"]["complete"]

    await eventually(whole)


async def test_a_second_read_comes_from_the_cache(api: Api, someone: Someone) -> None:
    reader = await someone()
    assert (await api.send("GET", "/feed", reader)).headers["x-cache-status"] == "miss"

    async def hit() -> bool:
        again = await api.send("GET", "/feed", reader)
        return again.headers["x-cache-status"] == "hit" and again.json()["cached"] is True

    await eventually(hit)


async def test_each_act_shows_on_its_makers_next_read_though_the_page_was_kept(api: Api, someone: Someone) -> None:
    author, reader = await someone(), await someone()
    await follow(api, reader, author)
    kept, deleted = await publish(api, author, 2)
    await feed_shows(api, reader, [kept, deleted])
    for method, path, liked, saved in (
        ("POST", "like", True, False),
        ("POST", "save", True, True),
        ("DELETE", "like", False, True),
    ):
        await feed(api, reader)  # from here on a page is cached
        await api.call(method, f"/posts/{kept}/{path}", reader)
        shown = next(post for post in await feed(api, reader) if post["post_id"] == kept)
        assert (shown["engagement"]["is_liked"], shown["engagement"]["is_saved"]) == (liked, saved)
    await api.call("DELETE", f"/posts/{deleted}", author)
    assert [post["post_id"] for post in await feed(api, reader)] == [kept]
    await api.call("DELETE", f"/users/{author.user_id}/follow", reader)
    assert await feed(api, reader) == []


async def test_new_posts_are_counted_and_the_position_is_shared(api: Api, someone: Someone) -> None:
    author, reader = await someone(), await someone()
    await follow(api, reader, author)
    seen = await publish(api, author)
    await feed_shows(api, reader, seen)
    session = {"feed_session_id": (await api.call("GET", "/feed", reader))["feed_session_id"]}
    assert await api.call("GET", "/feed/updates", reader, params=session) == {
        "new_post_count": 0,
        "newest_post_id": None,
    }
    new = await publish(api, author, 2)

    async def counted() -> bool:
        answer = await api.call("GET", "/feed/updates", reader, params=session)
        return answer == {"new_post_count": 2, "newest_post_id": new[-1]}

    await eventually(counted)
    assert (await api.send("GET", "/feed/position", reader)).status_code == 404
    position = {**session, "post_id": seen[0]}
    assert await api.call("PUT", "/feed/position", reader, json=position) == position
    assert await api.call("GET", "/feed/position", reader) == position
