"""Lists, page by page to the end: nothing twice, nothing left out, and every promised page exists."""

import pytest

from libs.common.testing.eventually import eventually
from ops.client import Api, Json
from tests.e2e.world import PAGE_LIMIT, Someone, feed_shows, follow, publish, walk

pytestmark = pytest.mark.stack

# One more than full pages, and full pages exactly: the last page is where lists go wrong.
SIZES = (2 * PAGE_LIMIT, 2 * PAGE_LIMIT + 1)


def ids(items: list[Json], key: str) -> list[str]:
    return [item[key] for item in items]


@pytest.mark.parametrize("size", SIZES)
async def test_people(api: Api, someone: Someone, size: int) -> None:
    author = await someone()
    (post_id,) = await publish(api, author)
    people = [await someone() for _ in range(size)]
    for one in people:
        await follow(api, one, author)
        await follow(api, author, one)
        await api.call("POST", f"/posts/{post_id}/like", one)
    everyone = sorted(one.user_id for one in people)
    for path in (f"/users/{author.user_id}/followers", f"/users/{author.user_id}/following"):
        assert sorted(ids(await walk(api, path, "users", author), "user_id")) == everyone
    likers = await walk(api, f"/posts/{post_id}/likes", "users", author)
    assert ids(likers, "user_id") == [one.user_id for one in reversed(people)]
    found = await walk(api, "/users", "users", author, q=author.username)
    assert ids(found, "user_id") == [author.user_id]


@pytest.mark.parametrize("size", SIZES)
async def test_comments_and_replies(api: Api, someone: Someone, size: int) -> None:
    author = await someone()
    (post_id,) = await publish(api, author)
    path = f"/posts/{post_id}/comments"
    written = [await api.call("POST", path, author, json={"text": str(i)}) for i in range(size)]
    parent_id = written[0]["comment_id"]
    replies = [
        await api.call("POST", path, author, json={"text": f"re {i}", "parent_id": parent_id}) for i in range(size)
    ]
    assert ids(await walk(api, path, "comments", author), "comment_id") == ids(written, "comment_id")
    answered = await walk(api, path, "comments", author, parent_id=parent_id)
    assert ids(answered, "comment_id") == ids(replies, "comment_id")
    assert (await api.send("DELETE", f"/comments/{written[1]['comment_id']}", author)).status_code == 204
    left = ids(await walk(api, path, "comments", author), "comment_id")
    assert left == ids([written[0], *written[2:]], "comment_id")


@pytest.mark.parametrize("size", SIZES)
async def test_posts(api: Api, someone: Someone, size: int) -> None:
    author, reader = await someone(), await someone()
    tag = f"t{author.user_id}"
    posted = await publish(api, author, size, f"one of many #{tag}")
    newest_first = posted[::-1]
    for path in (f"/users/{author.user_id}/posts", f"/hashtags/{tag}/posts"):
        assert ids(await walk(api, path, "posts", reader), "post_id") == newest_first
    for post_id in posted:
        await api.call("POST", f"/posts/{post_id}/save", reader)
    assert ids(await walk(api, "/saved", "posts", reader), "post_id") == newest_first
    await api.call("DELETE", f"/posts/{posted[1]}/save", reader)
    assert ids(await walk(api, "/saved", "posts", reader), "post_id") == [i for i in newest_first if i != posted[1]]


@pytest.mark.parametrize("size", SIZES)
async def test_the_feed_in_both_orders(api: Api, someone: Someone, size: int) -> None:
    authors, reader = [await someone(), await someone()], await someone()
    posted: list[str] = []
    for author in authors:
        await follow(api, reader, author)
        posted += await publish(api, author, size)
    newest_first = sorted(posted, key=int, reverse=True)
    await feed_shows(api, reader, posted, limit=100)

    async def in_order() -> bool:
        return ids(await walk(api, "/feed", "posts", reader, order="chronological"), "post_id") == newest_first

    await eventually(in_order)
    ranked = ids(await walk(api, "/feed", "posts", reader, order="ranked"), "post_id")
    assert len(ranked) == len(set(ranked)), "a post twice"
    assert set(ranked) == set(posted)


async def test_a_page_stays_whole_while_posts_arrive(api: Api, someone: Someone) -> None:
    author = await someone()
    before = await publish(api, author, 4)
    await feed_shows(api, author, before)
    for order in ("ranked", "chronological"):
        asked = {"order": order, "limit": 2}
        first = await api.call("GET", "/feed", author, params=asked)
        await publish(api, author)
        second = await api.call("GET", "/feed", author, params={**asked, "cursor": first["next_cursor"]})
        seen = ids(first["posts"] + second["posts"], "post_id")
        assert len(set(seen)) == 4
        if order == "ranked":
            assert set(seen) == set(before)
