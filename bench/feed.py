"""Measures reads of a feed page of 20 posts: cached pages and assembled ones, beside the pull query."""

import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import orjson

from bench.figures import Figure, Latency, Row, rows_of
from bench.http import Connection
from bench.reference_pull import serving
from bench.reference_world import Shape
from bench.rounds import Act, Round, Rounds, drive
from bench.world import make_world
from libs.common.core.settings import Settings
from libs.common.stores.postgres import open_postgres
from ops.client import Account, Api

LIMIT_KB = 20.0  # of a page of 20 posts on the way to the client
AN_HOUR_LATER = "UPDATE follows SET pull_until = NULL WHERE follower_id = $1"  # until then new followees are pulled too


@dataclass(frozen=True, slots=True)
class Size:
    """Each author has as many posts as a page: a pull query has to look at that number of each."""

    authors: int = 100
    page: int = 20
    reference_users: int = 1_000
    connections: int = 8
    seconds: float = 5.0  # of a round
    rate: int = 50  # requests/s of the steady run
    rounds: Rounds = field(default_factory=Rounds)


@dataclass(frozen=True, slots=True)
class Load:
    """Requests of one kind; `expected_cache` is what X-Cache-Status must say in each answer."""

    base_url: str
    token: str
    paths: Callable[[], str]
    expected_cache: str | None = None


async def measure(settings: Settings, size: Size = Size()) -> list[Row]:
    """Rows of the table."""
    base_url, postgres = settings.public_url, settings.postgres_dsn.get_secret_value()
    async with Api(base_url) as api, open_postgres(settings, settings.keyspace("user")) as users:
        made = await make_world(api, size.authors, size.page, size.page)
        await users.execute(AN_HOUR_LATER, int(made.reader.user_id))
        gzipped = await _gzipped_bytes(api, made.reader, size.page)
    first = f"/v1/feed?limit={size.page}"
    second = f"/v1/feed?limit={size.page}&cursor={made.cursor}"
    async with serving(postgres, Shape(size.reference_users, size.authors, size.page, made.sample)) as reference_url:
        random_reader = lambda: f"/feed/{secrets.randbelow(size.reference_users)}?limit={size.page}"  # noqa: E731
        pulled = await run(Load(reference_url, "", random_reader), size)
        steady = await run(Load(reference_url, "", random_reader), size, size.rate)
    token = made.reader.access_token
    cached = await run(Load(base_url, token, lambda: first, "hit"), size)
    # The second page is never cached, and is assembled like the first one.
    assembled = await run(Load(base_url, token, lambda: second, "miss"), size)
    assembled_steady = await run(Load(base_url, token, lambda: second, "miss"), size, size.rate)
    return [
        *rows_of("feed page, cached", cached, pulled),
        *rows_of("feed page, assembled", assembled, pulled),
        *rows_of(f"… at {size.rate}/s", assembled_steady, steady),
        Row(
            f"page of {size.page} one-picture posts, gzipped, beside the limit",
            Figure(gzipped / 1_000, "KB"),
            Figure(LIMIT_KB, "KB"),
        ),
    ]


async def run(load: Load, size: Size, rate: int | None = None) -> Latency:
    """Send as many requests as the time allows, or `rate` a second, on open connections.

    An unexpected answer ends the run.
    """
    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(Connection(load.base_url, load.token)) for _ in range(size.connections)
        ]
        shown = len(orjson.loads((await connections[0].get(load.paths())).body).get("posts", ()))
        if shown != size.page:
            raise RuntimeError(f"{load.base_url} shows {shown} posts, not {size.page}")
        acts = [_read(load, connection) for connection in connections]

        async def one() -> Round:
            return await drive(acts, size.seconds, rate)

        return await size.rounds.of(one)


def _read(load: Load, connection: Connection) -> Act:
    async def read() -> None:
        answer = await connection.get(load.paths())
        if answer.status != 200:
            raise RuntimeError(f"{load.base_url} answered {answer.status}: {answer.body[:200]!r}")
        if load.expected_cache not in (None, cache := answer.headers.get("x-cache-status")):
            raise RuntimeError(f"X-Cache-Status is {cache}, not {load.expected_cache}")

    return read


async def _gzipped_bytes(api: Api, reader: Account, page: int) -> int:
    """Return the size of a page's body on the way to the client."""
    answer = await api.send("GET", "/feed", reader, params={"limit": page}, headers={"Accept-Encoding": "gzip"})
    if answer.headers.get("content-encoding") != "gzip" or len(answer.json()["posts"]) != page:
        raise RuntimeError(f"not a gzipped page of {page} posts: {answer.status_code} {answer.headers}")
    return answer.num_bytes_downloaded
