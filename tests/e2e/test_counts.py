"""Counts are exact whatever happens at the same time, and what is deleted is gone."""

import asyncio
import random

import pytest

from libs.common.testing.eventually import eventually
from ops.client import Account, Api, Json
from tests.e2e.world import Someone, assert_problem, feed, feed_shows, follow, publish, walk

pytestmark = pytest.mark.stack

PEOPLE = 5
ACTS_EACH = 8
KEPT_PAGE_S = 10.0  # a page is cached for 60 s, and its counts for 4 s


async def test_counts_after_likes_and_unlikes_at_the_same_time(api: Api, someone: Someone) -> None:
    author = await someone()
    (post_id,) = await publish(api, author)
    people = [await someone() for _ in range(PEOPLE)]
    for act in ("like", "save"):
        chosen = [(one, random.choice(("POST", "DELETE"))) for one in people for _ in range(ACTS_EACH)]
        await asyncio.gather(*(api.call(method, f"/posts/{post_id}/{act}", one) for one, method in chosen))
    # At the same time no act is the last one; so each has one more, with everyone at once.
    fans = people[: PEOPLE // 2]
    ends = [(one, "POST" if one in fans else "DELETE") for one in people]
    await asyncio.gather(
        *(api.call(method, f"/posts/{post_id}/{act}", one) for one, method in ends for act in ("like", "save"))
    )

    async def exact() -> bool:
        counts = (await api.call("GET", f"/posts/{post_id}", author))["engagement"]
        return (counts["like_count"], counts["save_count"]) == (len(fans), len(fans))

    await eventually(exact)
    likers = await walk(api, f"/posts/{post_id}/likes", "users", author)
    assert {user["user_id"] for user in likers} == {one.user_id for one in fans}
    for one in people:
        marks = (await api.call("GET", f"/posts/{post_id}", one))["engagement"]
        assert (marks["is_liked"], marks["is_saved"]) == (one in fans, one in fans)


async def test_comments_at_the_same_time(api: Api, someone: Someone) -> None:
    author = await someone()
    (post_id,) = await publish(api, author)
    path = f"/posts/{post_id}/comments"
    written = await asyncio.gather(*(api.call("POST", path, author, json={"text": str(i)}) for i in range(20)))
    deleted = written[::2]
    answers = [api.send("DELETE", f"/comments/{one['comment_id']}", author) for one in deleted for _ in range(2)]
    assert {answer.status_code for answer in await asyncio.gather(*answers)} <= {204, 404}

    async def exact() -> bool:
        return bool((await api.call("GET", f"/posts/{post_id}", author))["engagement"]["comment_count"] == 10)

    await eventually(exact)
    assert len(await walk(api, path, "comments", author)) == 10


async def test_follower_counts_after_follows_and_unfollows(api: Api, someone: Someone) -> None:
    author = await someone()
    people = [await someone() for _ in range(PEOPLE)]
    path = f"/users/{author.user_id}/follow"
    acts = [api.send(method, path, one) for one in people for method in ("POST", "DELETE", "POST", "DELETE")]
    assert {answer.status_code for answer in await asyncio.gather(*acts)} <= {200, 204}
    await asyncio.gather(*(api.call("POST", path, one) for one in people[1:]))
    assert (await api.send("DELETE", path, people[0])).status_code == 204

    async def profile() -> Json:
        answer = await api.call("GET", f"/users/{author.user_id}")
        assert answer["follower_count"] == PEOPLE - 1
        return answer

    await eventually(profile)
    assert len(await walk(api, f"/users/{author.user_id}/followers", "users", author)) == PEOPLE - 1


async def test_a_cached_page_shows_new_counts(api: Api, someone: Someone) -> None:
    author, reader, fan = await someone(), await someone(), await someone()
    await follow(api, reader, author)
    (post_id,) = await publish(api, author)
    await feed_shows(api, reader, [post_id])
    before = await cached_page(api, reader)
    await api.call("POST", f"/posts/{post_id}/like", fan)

    async def counted() -> Json | None:
        page = await api.call("GET", "/feed", reader)
        return page if page["posts"][0]["engagement"]["like_count"] else None

    after = await eventually(counted, KEPT_PAGE_S)
    assert after
    assert after["cached"]
    assert after["feed_session_id"] == before["feed_session_id"]


async def cached_page(api: Api, reader: Account) -> Json:
    async def cached() -> Json | None:
        page = await api.call("GET", "/feed", reader)
        return page if page["cached"] else None

    page = await eventually(cached)
    assert page
    return page


async def test_a_deleted_post_is_gone_for_everyone_at_once(api: Api, someone: Someone) -> None:
    author, reader = await someone(), await someone()
    await follow(api, reader, author)
    tag = f"d{author.user_id}"
    gone, stays = await publish(api, author, 2, f"#{tag}")
    await api.call("POST", f"/posts/{gone}/save", reader)
    await api.call("POST", f"/posts/{gone}/like", reader)
    for who in (author, reader):
        await feed_shows(api, who, [gone, stays])
        await feed_shows(api, who, [gone, stays], order="ranked")
    assert (await api.send("DELETE", f"/posts/{gone}", author)).status_code == 204
    for who in (author, reader):
        assert_problem(await api.send("GET", f"/posts/{gone}", who), 404)
        for order in ("chronological", "ranked"):
            assert [post["post_id"] for post in await feed(api, who, order=order, limit=7)] == [stays]
        for path in (f"/users/{author.user_id}/posts", f"/hashtags/{tag}/posts"):
            assert [post["post_id"] for post in await walk(api, path, "posts", who)] == [stays]
    # The event invalidates a page that was cached before: soon, and long before the page would expire.
    for who in (author, reader):
        for order in ("chronological", "ranked"):
            await feed_shows(api, who, [stays], KEPT_PAGE_S, order=order)
    assert await walk(api, "/saved", "posts", reader) == []
    assert_problem(await api.send("PATCH", f"/posts/{gone}", author, json={"caption": "back"}), 404)

    async def one_left() -> bool:
        return bool((await api.call("GET", f"/users/{author.user_id}"))["post_count"] == 1)

    await eventually(one_left)
