"""What the tests of the public API share."""

import io
import random
import secrets
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import httpx2
from PIL import Image

from libs.common.testing.eventually import eventually
from ops.client import Account, Api, Json

PASSWORD = "a long password"
PAGE_LIMIT = 2  # small, so that lists take several pages
Someone = Callable[[], Awaitable[Account]]


async def stranger(api: Api) -> Account:
    return await api.register(f"u_{secrets.token_hex(8)}", PASSWORD)


@cache
def snapshot(seed: int = 1) -> bytes:
    """Return a small JPEG that is processed quickly."""
    rng = random.Random(seed)
    picture = Image.new("RGB", (96, 64), (rng.randrange(256), rng.randrange(256), rng.randrange(256)))
    out = io.BytesIO()
    picture.save(out, "JPEG")
    return out.getvalue()


async def ready_media(api: Api, owner: Account) -> str:
    media_id = await api.upload(owner, snapshot())
    assert (await api.settled(f"/media/{media_id}", owner))["status"] == "ready"
    return media_id


async def publish(api: Api, author: Account, count: int = 1, caption: str = "a post") -> list[str]:
    """Ids of new posts, oldest first; each can be seen."""
    body = {"media_ids": [await ready_media(api, author)], "caption": caption}
    answers = [await api.call("POST", "/posts", author, json=body) for _ in range(count)]
    assert {answer["status"] for answer in answers} == {"published"}
    return [answer["post_id"] for answer in answers]


async def follow(api: Api, follower: Account, followee: Account) -> None:
    answer = await api.call("POST", f"/users/{followee.user_id}/follow", follower)
    assert answer["following"]


async def feed(api: Api, reader: Account, **params: Any) -> list[Json]:
    """Return the first page, newest first by default."""
    posts: list[Json] = (await api.call("GET", "/feed", reader, params={"order": "chronological", **params}))["posts"]
    return posts


async def feed_shows(
    api: Api, reader: Account, post_ids: list[str], deadline_s: float = 20.0, **params: Any
) -> list[Json]:
    """Return the first page, once it has exactly these posts."""

    async def shown() -> list[Json]:
        posts = await feed(api, reader, **params)
        assert {post["post_id"] for post in posts} == set(post_ids)
        assert len(posts) == len(post_ids)
        return posts or [{}]

    return await eventually(shown, deadline_s)


async def walk(api: Api, path: str, noun: str, who: Account, **params: Any) -> list[Json]:
    """Return all items, page by page, and check the rules of every list."""
    items: list[Json] = []
    cursor: str | None = None
    while True:
        asked = {"limit": PAGE_LIMIT, **params, **({"cursor": cursor} if cursor else {})}
        page = await api.call("GET", path, who, params=asked)
        assert page["has_more"] is (page["next_cursor"] is not None)
        assert len(page[noun]) <= asked["limit"]
        assert page[noun] or not items, f"{path} promised more and had none"
        items += page[noun]
        cursor = page["next_cursor"]
        if cursor is None:
            return items


def assert_problem(response: httpx2.Response, status: int, code: str | None = None) -> Json:
    """Return the body of an error answer, and check the form that all errors share."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: Json = response.json()
    assert problem.keys() >= {"type", "title", "status", "detail", "code", "request_id"}
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    assert code is None or problem["code"] == code, problem
    return problem
