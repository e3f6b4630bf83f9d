"""From a post to the last of a thousand followers' feeds."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson

from bench.figures import Latency, Row, rows_of
from bench.http import Connection
from bench.reference_pull import Shape, serving
from ops.client import Account, Api, ApiFailure
from ops.photos import paint
from ops.progress import say

FOLLOWERS = 1_000
FOLLOWEES, POSTS_EACH = 20, 5  # of each reader in the reference
ROUNDS = 30
POLL_S = 0.005
DEADLINE_S = 30.0
AT_ONCE = 4  # each registration hashes a password, which fills a core
PASSWORD = "a long password"  # noqa: S105 - of people made for the measurement
AUTHOR = "bench_author"


class DeliveryError(RuntimeError):
    """What was to be measured did not take place."""


async def measure(base_url: str, postgres: str) -> list[Row]:
    """Rows of the table. The people are made once and found again by the next run."""
    async with Api(base_url) as api:
        author = await _sign_in(api, AUTHOR)
        last = await _followers(api, author)
        media_id = await api.upload(author, paint("terrazzo", 2))
        await api.settled(f"/media/{media_id}", author)
        sources: set[str] = set()
        times = [await _delivered(api, author, last, media_id, sources) for _ in range(ROUNDS)]
        sample = (await api.call("GET", "/feed", last))["posts"][0]
    shape = Shape(FOLLOWERS, FOLLOWEES, POSTS_EACH, sample)
    async with serving(postgres, shape) as reference_url, Connection(reference_url) as connection:
        reference = [await _inserted(connection, post_id) for post_id in range(10**9, 10**9 + ROUNDS)]
    what = f"post to the last of {FOLLOWERS:,} feeds ({', '.join(sorted(sources))})"
    return rows_of(what, Latency.of(times), Latency.of(reference))


async def _delivered(api: Api, author: Account, reader: Account, media_id: str, sources: set[str]) -> float:
    async with Connection(api.base_url, reader.access_token) as connection:
        started = time.perf_counter()
        post_id = (await api.call("POST", "/posts", author, json={"media_ids": [media_id]}))["post_id"]
        async for posts in _polled(connection, "/v1/feed?order=chronological&limit=20"):
            for post in posts:
                if post["post_id"] == post_id:
                    sources.add(post["source"])
                    return time.perf_counter() - started
    raise DeliveryError("the post did not arrive")


async def _inserted(connection: Connection, post_id: int) -> float:
    started = time.perf_counter()
    await connection.get(f"/post/1/{post_id}")
    async for posts in _polled(connection, "/feed/0?limit=20"):
        if any(post["post_id"] == str(post_id) for post in posts):
            return time.perf_counter() - started
    raise DeliveryError("the row did not appear")


async def _polled(connection: Connection, path: str) -> AsyncIterator[list[Any]]:
    end = time.perf_counter() + DEADLINE_S
    while time.perf_counter() < end:
        answer = await connection.get(path)
        if answer.status != 200:
            raise DeliveryError(f"{path} answered {answer.status}: {answer.body[:200]!r}")
        yield orjson.loads(answer.body)["posts"]
        await asyncio.sleep(POLL_S)


async def _sign_in(api: Api, username: str) -> Account:
    try:
        return await api.register(username, PASSWORD)
    except ApiFailure as failure:
        if failure.code != "username_taken":
            raise
        return await api.login(username, PASSWORD)


async def _followers(api: Api, author: Account) -> Account:
    """The follower whom the fan-out reaches last: it goes by ascending account id."""
    path = f"/users/{author.user_id}"
    missing = FOLLOWERS - int((await api.call("GET", path))["follower_count"])
    if missing > 0:
        say(f"making {missing} followers, once")
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(index: int) -> None:
        async with slots:
            follower = await _sign_in(api, f"bench_follower_{index}")
            await api.call("POST", f"{path}/follow", follower)
            await api.call("GET", "/feed", follower)  # only lists that exist are pushed into

    await asyncio.gather(*(one(index) for index in range(FOLLOWERS) if missing > 0))
    newest = (await api.call("GET", f"{path}/followers", params={"limit": 1}))["users"][0]
    last = await api.login(newest["username"], PASSWORD)
    await api.call("GET", "/feed", last)
    return last
