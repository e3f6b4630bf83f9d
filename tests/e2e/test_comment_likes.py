"""Likes of comments, and comments by likes, through the gateway."""

import pytest

from libs.common.testing.eventually import eventually
from ops.client import Api, Json
from tests.e2e.world import assert_problem, publish, stranger, walk

pytestmark = pytest.mark.stack


async def test_the_most_liked_comments_come_first(api: Api) -> None:
    people = [await stranger(api) for _ in range(3)]
    author = people[0]
    (post_id,) = await publish(api, author)
    path = f"/posts/{post_id}/comments"
    ids = [(await api.call("POST", path, author, json={"text": f"number {n}"}))["comment_id"] for n in range(5)]
    for who, liked in zip(people, ([3], [3, 1], [3, 1, 2]), strict=True):
        for n in liked:
            answer = await api.call("POST", f"/comments/{ids[n]}/like", who)
            assert answer["liked"]
            assert answer["like_count"] >= 1
    assert (await api.call("DELETE", f"/comments/{ids[2]}/like", people[2]))["liked"] is False

    async def top() -> list[Json]:
        return await walk(api, path, "comments", people[1], order="top", limit=2)

    async def is_counted() -> bool:
        return [(c["comment_id"], c["like_count"], c["is_liked"]) for c in await top()] == [
            (ids[3], 3, True),
            (ids[1], 2, True),
            (ids[0], 0, False),
            (ids[2], 0, False),
            (ids[4], 0, False),
        ]

    await eventually(is_counted)
    oldest = await walk(api, path, "comments", people[1], limit=2)
    assert [comment["comment_id"] for comment in oldest] == ids
    cursor = (await api.call("GET", path, author, params={"order": "top", "limit": 1}))["next_cursor"]
    assert_problem(await api.send("GET", path, author, params={"cursor": cursor}), 400, "invalid_cursor")
    assert_problem(await api.send("GET", path, author, params={"order": "best"}), 422)


async def test_comments_that_are_not_there_can_not_be_liked(api: Api) -> None:
    author = await stranger(api)
    (post_id,) = await publish(api, author)
    comment = await api.call("POST", f"/posts/{post_id}/comments", author, json={"text": "soon gone"})
    assert (await api.send("DELETE", f"/comments/{comment['comment_id']}", author)).status_code == 204
    for comment_id in (comment["comment_id"], "1"):
        for method in ("POST", "DELETE"):
            assert_problem(await api.send(method, f"/comments/{comment_id}/like", author), 404)
