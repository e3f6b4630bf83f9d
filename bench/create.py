"""Measures the creation of small posts through the gateway, beside bare INSERTs."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import orjson

from bench.crowd import Crowd, crowd
from bench.delivery import Author
from bench.figures import Latency, Row, rows_of
from bench.http import Connection
from bench.reference_pull import serving
from bench.reference_world import Shape
from bench.rounds import Act, Round, Rounds, drive
from libs.common.core.settings import Settings
from libs.common.kafka.lag import LagMeter
from libs.deployables import DEPLOYABLES

CAPTION = "Back from the coast, and already missing it"
CONSUMERS = [(group, topics) for one in DEPLOYABLES for group, topics in one.consumes.items() if "posts" in topics]
SETTLED_S = 60.0
SHARE = 0.5  # of the reached rate, in the steady run


@dataclass(frozen=True, slots=True)
class Size:
    """An author posts on each connection. The authors are small: most people have one or two followers."""

    connections: int = 8
    followers: int = 2  # of each author, with feed lists
    seconds: float = 5.0  # of a round
    commit_s: float = 1.0  # between questions how far consumers are: they commit once a second
    rounds: Rounds = field(default_factory=Rounds)


async def measure(settings: Settings, size: Size = Size()) -> list[Row]:
    """Return rows of the table. CPU is that of all processes, until all consumers have handled the posts."""
    async with crowd(settings) as people, LagMeter(settings) as meter, AsyncExitStack() as stack:
        authors = await small_authors(people, size.connections, size.followers)

        async def settle() -> None:
            await handled(meter, size.commit_s)

        creating = [await creates(stack, settings.public_url, author) for author in authors]
        reached = await _run(size, creating, None, settle)
        rate = reached.rate * SHARE
        steady = await _run(size, creating, rate, settle)
        sample = (await people.api.call("GET", "/feed", authors[0].account))["posts"][0]
        world = Shape(size.connections, 1, 1, sample)
        url = await stack.enter_async_context(serving(settings.postgres_dsn.get_secret_value(), world))
        ids = itertools.count(10**9)
        inserting = [await _inserting(stack, url, author_id, ids) for author_id in range(size.connections)]
        inserted = await _run(size, inserting)
        inserted_steady = await _run(size, inserting, rate)
    return [
        *rows_of("create post", reached, inserted),
        *rows_of("create post at half of that rate", steady, inserted_steady, f"{rate:,.0f}/s"),
    ]


async def _nothing() -> None:
    pass


async def _run(size: Size, acts: Sequence[Act], rate: float | None = None, settle: Act = _nothing) -> Latency:
    async def one() -> Round:
        taken = await drive(acts, size.seconds, rate)
        await settle()
        return taken

    return await size.rounds.of(one)


async def handled(meter: LagMeter, commit_s: float) -> None:
    """Wait until every consumer has handled the posts. Ask once in the time between two commits."""
    async with asyncio.timeout(SETTLED_S):
        while True:
            await asyncio.sleep(commit_s)  # to ask all the time would be load of its own
            if not any([await meter.lag(group, topics) for group, topics in CONSUMERS]):
                return


async def small_authors(people: Crowd, count: int, follower_count: int) -> list[Author]:
    """Authors who are signed in. Their followers have feed lists."""
    ids = people.ids(count)
    await people.people(ids)
    for author_id in ids:
        followers = people.ids(follower_count)
        await people.follow(author_id, followers)
        await people.give_lists(followers)
    await people.settle()
    return [await people.author(author_id) for author_id in ids]


async def creates(
    stack: AsyncExitStack, base_url: str, author: Author, traceparent: Callable[[], str] | None = None
) -> Act:
    """The creation of a post, on a connection of its own."""
    connection = await stack.enter_async_context(
        Connection(base_url, author.account.access_token, traceparent=traceparent)
    )
    document = orjson.dumps({**author.post, "caption": CAPTION})

    async def create() -> None:
        answer = await connection.post("/v1/posts", document)
        if answer.status != 201:
            raise RuntimeError(f"a post was answered {answer.status}: {answer.body[:200]!r}")

    return create


async def _inserting(stack: AsyncExitStack, base_url: str, author_id: int, ids: Iterator[int]) -> Act:
    connection = await stack.enter_async_context(Connection(base_url))

    async def insert() -> None:
        answer = await connection.get(f"/post/{author_id}/{next(ids)}")
        if answer.status != 200:
            raise RuntimeError(f"a row was answered {answer.status}: {answer.body[:200]!r}")

    return insert
