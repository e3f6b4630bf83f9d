"""Measures reads of a feed page of 20 posts: cached pages and assembled ones, beside the pull query."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from bench import cpu
from bench.figures import Latency, Row, rows_of
from bench.http import Connection
from bench.reference_pull import serving
from bench.reference_world import Shape
from libs.common.core.settings import Settings
from libs.common.stores.postgres import open_postgres
from libs.common.testing.eventually import eventually
from ops.client import Account, Api
from ops.photos import paint

AUTHORS = 100
POSTS_EACH = 20  # as many as a page holds: a pull query has to look at that many of each
MOST = 100  # posts of a page
REFERENCE_USERS = 1_000
PAGE = 20
CONNECTIONS = 8
AT_ONCE = 4  # while making the world
MEASURED_S = 5.0
RATE = 50  # requests/s of the steady run
ARRIVAL_S = 60.0
AN_HOUR_LATER = "UPDATE follows SET pull_until = NULL WHERE follower_id = $1"  # until then new followees are pulled too
PASSWORD = "a long password"  # noqa: S105 - of people made for the measurement


@dataclass(frozen=True, slots=True)
class Load:
    """Requests of one kind; `expected_cache` is what X-Cache-Status must say in each answer."""

    base_url: str
    token: str
    paths: Callable[[], str]
    expected_cache: str | None = None


async def measure(settings: Settings) -> list[Row]:
    """Rows of the table."""
    base_url, postgres = settings.public_url, settings.postgres_dsn.get_secret_value()
    async with Api(base_url) as api, open_postgres(settings, settings.keyspace("user")) as users:
        reader, cursor, sample = await make_world(api)
        await users.execute(AN_HOUR_LATER, int(reader.user_id))
    first = f"/v1/feed?limit={PAGE}"
    second = f"/v1/feed?limit={PAGE}&cursor={cursor}"
    async with serving(postgres, Shape(REFERENCE_USERS, AUTHORS, POSTS_EACH, sample)) as reference_url:
        random_reader = lambda: f"/feed/{secrets.randbelow(REFERENCE_USERS)}?limit={PAGE}"  # noqa: E731
        pulled = await run(Load(reference_url, "", random_reader))
        steady = await run(Load(reference_url, "", random_reader), RATE)
    kept = await run(Load(base_url, reader.access_token, lambda: first, "hit"))
    # The second page is never cached, and is assembled like the first one.
    assembled = await run(Load(base_url, reader.access_token, lambda: second, "miss"))
    assembled_steady = await run(Load(base_url, reader.access_token, lambda: second, "miss"), RATE)
    return [
        *rows_of("feed page, kept", kept, pulled),
        *rows_of("feed page, assembled", assembled, pulled),
        *rows_of(f"… at {RATE}/s", assembled_steady, steady),
    ]


async def run(load: Load, rate: int | None = None) -> Latency:
    """Send as many requests as the time allows, or `rate` a second, on open connections.

    An unexpected answer ends the run. CPU is that of all processes, without their idle share.
    """
    times: list[float] = []
    slots = itertools.count()
    idle_s = await cpu.idle_share()
    async with Connection(load.base_url, load.token) as warm:
        shown = len(orjson.loads((await warm.get(load.paths())).body).get("posts", ()))
    if shown != PAGE:
        raise RuntimeError(f"{load.base_url} shows {shown} posts, not {PAGE}")
    used, started = cpu.used_s(), time.perf_counter()
    end = started + MEASURED_S

    async def client() -> None:
        async with Connection(load.base_url, load.token) as connection:
            while True:
                if rate:
                    await asyncio.sleep(started + next(slots) / rate - time.perf_counter())
                if (begun := time.perf_counter()) >= end:
                    return
                answer = await connection.get(load.paths())
                times.append(time.perf_counter() - begun)
                if answer.status != 200:
                    raise RuntimeError(f"{load.base_url} answered {answer.status}: {answer.body[:200]!r}")
                if load.expected_cache not in (None, cache := answer.headers.get("x-cache-status")):
                    raise RuntimeError(f"X-Cache-Status is {cache}, not {load.expected_cache}")

    async with asyncio.TaskGroup() as clients:
        for _ in range(CONNECTIONS):
            clients.create_task(client())
    elapsed = time.perf_counter() - started
    return Latency.of(times, 0 if rate else elapsed, cpu.used_s() - used - idle_s * elapsed)


async def make_world(api: Api) -> tuple[Account, str, dict[str, Any]]:
    """Return a reader of full feeds, the cursor of the second page, and a post of the first."""
    tag = secrets.token_hex(4)
    reader = await api.register(f"bench_{tag}", PASSWORD)
    slots = asyncio.Semaphore(AT_ONCE)
    photo = paint("terrazzo", 1)

    async def author(index: int) -> None:
        async with slots:
            who = await api.register(f"bench_{tag}_{index}", PASSWORD)
            await api.call("POST", f"/users/{who.user_id}/follow", reader)
            media_id = await api.upload(who, photo)
            await api.settled(f"/media/{media_id}", who)
            for i in range(POSTS_EACH):
                await api.call("POST", "/posts", who, json={"media_ids": [media_id], "caption": f"number {i}"})

    await asyncio.gather(*(author(index) for index in range(AUTHORS)))

    async def all_there() -> bool:
        page = await api.call("GET", "/feed", reader, params={"order": "chronological", "limit": MOST})
        return len(page["posts"]) == MOST

    await eventually(all_there, ARRIVAL_S)
    page = await api.call("GET", "/feed", reader, params={"order": "chronological", "limit": PAGE})
    return reader, page["next_cursor"], page["posts"][0]
