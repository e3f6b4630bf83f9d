"""Doing it twice is doing it once."""

import asyncio
import secrets
from collections.abc import Iterator

import pytest

from devstack.stack import Stack
from libs.common.testing.eventually import eventually
from ops.client import Account, Api, Json
from tests.conftest import restarted
from tests.e2e.world import Someone, assert_problem, publish, ready_media, walk

pytestmark = pytest.mark.stack
SENDS = 50
KEYED = ("post", "interaction", "media")


async def test_following_twice(api: Api, someone: Someone) -> None:
    author, reader = await someone(), await someone()
    path = f"/users/{author.user_id}/follow"
    first = await api.call("POST", path, reader)
    assert await api.call("POST", path, reader) == first == {"following": True, "requested": False}

    async def followed_once() -> bool:
        return bool((await api.call("GET", f"/users/{author.user_id}"))["follower_count"] == 1)

    await eventually(followed_once)
    assert len(await walk(api, f"/users/{author.user_id}/followers", "users", reader)) == 1
    for _ in range(2):
        assert (await api.send("DELETE", path, reader)).status_code == 204
    assert await walk(api, f"/users/{author.user_id}/followers", "users", reader) == []


@pytest.mark.parametrize(("act", "done", "count"), [("like", "liked", "like_count"), ("save", "saved", "save_count")])
async def test_marking_twice(api: Api, someone: Someone, act: str, done: str, count: str) -> None:
    author = await someone()
    (post_id,) = await publish(api, author)
    for _ in range(2):
        assert await api.call("POST", f"/posts/{post_id}/{act}", author) == {done: True, count: 1}
    for _ in range(2):
        assert await api.call("DELETE", f"/posts/{post_id}/{act}", author) == {done: False, count: 0}


async def comment(api: Api, who: Account, post_id: str, text: str, key: str) -> str:
    path, headers = f"/posts/{post_id}/comments", {"Idempotency-Key": key}
    return str((await api.call("POST", path, who, json={"text": text}, headers=headers))["comment_id"])


async def test_a_key_makes_one_comment(api: Api, someone: Someone) -> None:
    author, other = await someone(), await someone()
    (post_id,) = await publish(api, author)
    key = secrets.token_hex(8)
    first = await comment(api, author, post_id, "once", key)
    assert await comment(api, author, post_id, "once", key) == first
    headers = {"Idempotency-Key": key}
    changed = await api.send("POST", f"/posts/{post_id}/comments", author, json={"text": "twice"}, headers=headers)
    assert_problem(changed, 422, "idempotency_key_reused")
    assert await comment(api, other, post_id, "once", key) != first, "keys are of one account"
    assert len(await walk(api, f"/posts/{post_id}/comments", "comments", author)) == 2


async def test_a_key_makes_one_post(api: Api, someone: Someone) -> None:
    author = await someone()
    body = {"media_ids": [await ready_media(api, author)], "caption": "once"}
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    first = await api.send("POST", "/posts", author, json=body, headers=headers)
    again = await api.send("POST", "/posts", author, json=body, headers=headers)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    changed = await api.send("POST", "/posts", author, json={**body, "caption": "other"}, headers=headers)
    assert_problem(changed, 422, "idempotency_key_reused")
    assert len(await walk(api, f"/users/{author.user_id}/posts", "posts", author)) == 1


@pytest.fixture(scope="module", params=["4", "1"])
def hurried(stack: Stack, request: pytest.FixtureRequest) -> Iterator[None]:
    """Services with the time-outs of `make up` and containers, and with those of a cluster."""
    with restarted(stack, KEYED, {"FEEDMILL_TIMEOUT_FACTOR": request.param}):
        yield


async def raced(api: Api, who: Account, path: str, body: Json) -> Json:
    """Send fifty requests at once with one key. Each gets the same result, or the answer that it came too early."""
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    answers = await asyncio.gather(*(api.send("POST", path, who, json=body, headers=headers) for _ in range(SENDS)))
    made = [answer for answer in answers if answer.is_success]
    assert made
    for answer in answers:
        if answer not in made:
            assert_problem(answer, 409, "idempotency_in_progress")
    again = await api.send("POST", path, who, json=body, headers=headers)
    assert {(answer.status_code, answer.content) for answer in made} == {(again.status_code, again.content)}
    return dict(again.json())


async def test_sends_that_race_make_one_of_each(api: Api, someone: Someone, hurried: None) -> None:
    author = await someone()
    body = {"media_ids": [await ready_media(api, author)], "caption": "once"}
    post_id = (await raced(api, author, "/posts", body))["post_id"]
    posts = await walk(api, f"/users/{author.user_id}/posts", "posts", author)
    assert [post["post_id"] for post in posts] == [post_id]
    comment_id = (await raced(api, author, f"/posts/{post_id}/comments", {"text": "once"}))["comment_id"]
    comments = await walk(api, f"/posts/{post_id}/comments", "comments", author)
    assert [comment["comment_id"] for comment in comments] == [comment_id]

    async def counted_once() -> bool:
        engagement = (await api.call("GET", f"/posts/{post_id}", author))["engagement"]
        return bool(engagement["comment_count"] == 1)

    await eventually(counted_once)
    place = await raced(api, author, "/media/upload-url", {"content_type": "image/jpeg", "file_size": 100})
    assert place["upload_id"]


async def test_a_key_makes_one_upload(api: Api, someone: Someone) -> None:
    who = await someone()
    asked, headers = {"content_type": "image/jpeg", "file_size": 100}, {"Idempotency-Key": secrets.token_hex(8)}
    first = await api.call("POST", "/media/upload-url", who, json=asked, headers=headers)
    assert await api.call("POST", "/media/upload-url", who, json=asked, headers=headers) == first
    other = await api.send("POST", "/media/upload-url", who, json={**asked, "file_size": 101}, headers=headers)
    assert_problem(other, 422, "idempotency_key_reused")
