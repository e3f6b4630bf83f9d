"""From a post to the last of a thousand followers' feeds."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from bench.figures import Latency, Row, rows_of
from bench.http import Connection
from bench.reference_pull import serving
from bench.reference_world import Shape
from bench.world import PASSWORD
from libs.common.core.console import say
from libs.common.core.settings import Settings
from ops.client import Account, Api, ApiFailure
from ops.photos import paint

POLL_S = 0.005
DEADLINE_S = 30.0
AT_ONCE = 4  # each registration hashes a password, which fills a core
AUTHOR = "bench_author"


@dataclass(frozen=True, slots=True)
class Author:
    """Someone who is signed in and has a picture to post."""

    account: Account
    media_id: str

    @property
    def post(self) -> dict[str, list[str]]:
        """The document of a new post."""
        return {"media_ids": [self.media_id]}


class DeliveryError(RuntimeError):
    """The measured event did not happen."""


@dataclass(frozen=True, slots=True)
class Size:
    """`followees` and `posts_each` are of each reader in the reference."""

    followers: int = 1_000
    rounds: int = 30
    followees: int = 20
    posts_each: int = 5


async def measure(settings: Settings, size: Size = Size()) -> list[Row]:
    """Rows of the table. The people are made once and found again by the next run."""
    async with Api(settings.public_url) as api:
        author = await _sign_in(api, AUTHOR)
        last = await _followers(api, author, size.followers)
        sources: set[str] = set()
        artist = await with_picture(api, author)
        times = [await delivered(api, artist, last, sources) for _ in range(size.rounds)]
        sample = (await api.call("GET", "/feed", last))["posts"][0]
    shape = Shape(size.followers, size.followees, size.posts_each, sample)
    async with (
        serving(settings.postgres_dsn.get_secret_value(), shape) as reference_url,
        Connection(reference_url) as connection,
    ):
        reference = [await inserted(connection, 1, 0, post_id) for post_id in range(10**9, 10**9 + size.rounds)]
    what = f"post to the last of {size.followers:,} feeds"
    return rows_of(what, Latency.of(times), Latency.of(reference), ", ".join(sorted(sources)))


async def with_picture(api: Api, account: Account) -> Author:
    """Upload a picture, and return the account as an author who can post it."""
    media_id = await api.upload(account, paint("terrazzo", 2))
    await api.settled(f"/media/{media_id}", account)
    return Author(account, media_id)


async def delivered(api: Api, author: Author, reader: Account, sources: set[str], poll_s: float = POLL_S) -> float:
    """Seconds from the request to post until the reader's feed shows it; how it came is added to `sources`."""
    async with Connection(api.base_url, reader.access_token) as connection:
        started = time.perf_counter()
        post_id = (await api.call("POST", "/posts", author.account, json=author.post))["post_id"]
        async for posts in _polled(connection, "/v1/feed?order=chronological&limit=20", poll_s):
            for post in posts:
                if post["post_id"] == post_id:
                    sources.add(post["source"])
                    return time.perf_counter() - started
    raise DeliveryError("the post did not arrive")


async def inserted(connection: Connection, author_id: int, reader_id: int, post_id: int) -> float:
    """Measure the same in the reference."""
    started = time.perf_counter()
    await connection.get(f"/post/{author_id}/{post_id}")
    async for posts in _polled(connection, f"/feed/{reader_id}?limit=20"):
        if any(post["post_id"] == str(post_id) for post in posts):
            return time.perf_counter() - started
    raise DeliveryError("the row did not appear")


async def _polled(connection: Connection, path: str, poll_s: float = POLL_S) -> AsyncIterator[list[Any]]:
    end = time.perf_counter() + DEADLINE_S
    while time.perf_counter() < end:
        answer = await connection.get(path)
        if answer.status != 200:
            raise DeliveryError(f"{path} answered {answer.status}: {answer.body[:200]!r}")
        yield orjson.loads(answer.body)["posts"]
        await asyncio.sleep(poll_s)


async def _sign_in(api: Api, username: str) -> Account:
    try:
        return await api.register(username, PASSWORD)
    except ApiFailure as failure:
        if failure.code != "username_taken":
            raise
        return await api.login(username, PASSWORD)


async def _followers(api: Api, author: Account, count: int) -> Account:
    """Return the follower that fan-out reaches last: it delivers by ascending account id."""
    path = f"/users/{author.user_id}"
    missing = count - int((await api.call("GET", path))["follower_count"])
    if missing > 0:
        say(f"making {missing} followers, once")
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(index: int) -> None:
        async with slots:
            follower = await _sign_in(api, f"bench_follower_{index}")
            await api.call("POST", f"{path}/follow", follower)
            await api.call("GET", "/feed", follower)  # only lists that exist are pushed into

    await asyncio.gather(*(one(index) for index in range(count) if missing > 0))
    newest = (await api.call("GET", f"{path}/followers", params={"limit": 1}))["users"][0]
    last = await api.login(newest["username"], PASSWORD)
    await api.call("GET", "/feed", last)
    return last
