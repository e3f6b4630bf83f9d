"""A real graph's skew: the way to the last follower by size of author, reads by number of followees, fan-out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.crowd import BULK_S, FIRST, LAST, Crowd, crowd, push_threshold
from bench.delivery import delivered, inserted
from bench.edges import GraphWorld, stage
from bench.figures import Figure, Latency, Row, rows_of
from bench.followees import Reads, reads, second_page
from bench.graph_fanout import entries_a_second
from bench.http import Connection
from bench.reference_pull import serving
from libs.common.core.console import say
from libs.common.core.ids import first_id_at, now_ms
from libs.common.core.settings import Settings
from libs.common.testing.eventually import eventually

Decade = tuple[int, int]
DECADES: list[Decade] = [(10**n, 10 ** (n + 1) - 1) for n in range(8)]  # of followers, and of followees
# Without replacement, by Efraimidis and Spirakis. Activity grows with the logarithm of the audience (Huberman et al.
# 2008): what papers on feeds take.
_DRAW = """
SELECT user_id FROM user_counts WHERE user_id BETWEEN $1 AND $2 AND followers > 0
ORDER BY -ln(1 - random()) / ln(1 + followers) LIMIT $3
"""
_AUTHOR = """
SELECT user_id, followers, (SELECT max(follower_id) FROM follows WHERE followee_id = user_id) AS last
FROM user_counts WHERE user_id BETWEEN $1 AND $2 AND followers BETWEEN $3 AND $4 ORDER BY random() LIMIT 1
"""
_READER = """
SELECT user_id, following FROM user_counts
JOIN (SELECT follower_id, count(*) AS active FROM follows WHERE followee_id = ANY ($5) GROUP BY 1) f
    ON user_id = follower_id
WHERE user_id BETWEEN $1 AND $2 AND following BETWEEN $3 AND $4 ORDER BY active DESC LIMIT 1
"""
_SOME = "SELECT user_id FROM users WHERE user_id BETWEEN $1 AND $2 ORDER BY random() LIMIT $3"
_POSTS = "SELECT user_id, post_id FROM authored_posts WHERE user_id BETWEEN $1 AND $2"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured on the graph.

    `active` people at most have feed lists, as if they had read in the last week. `drawn` authors have `drawn_posts`
    each, besides `rounds` posts of one of each decade. `events` are the posts of the fan-out.
    """

    active: int = 50_000
    drawn: int = 20
    drawn_posts: int = 5
    rounds: int = 20
    events: int = 2_000
    page: int = 6  # posts: readers with few followees have few
    reads: Reads = field(default_factory=Reads)


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured figure of Feedmill, and the path of the reference to compare it with."""

    what: str
    note: str
    ours: Latency
    reader_id: int
    author_id: int = 0  # of posts to be inserted; 0 for a read


async def measure(settings: Settings, path: Path, size: Size = Size()) -> list[Row]:
    """Rows of the table. Fan-out comes last: it leaves entries without posts in the lists."""
    async with crowd(settings) as people:
        first_id = await _settled(people, path, size.active)
        posting = [(decade, author) for decade in DECADES for author in await _rows(people, _AUTHOR, *decade)]
        ways = [await _way(people, decade, author, size.rounds) for decade, author in posting]
        active = [author["user_id"] for _, author in posting] + await _some_posts(people, size)
        readers = [(decade, row) for decade in DECADES for row in await _rows(people, _READER, *decade, active)]
        measured = [*ways, *[one for decade, row in readers for one in await _reads(people, decade, row, size)]]
        count = len(ways) * size.rounds + (len(active) - len(ways)) * size.drawn_posts
        world = GraphWorld(path, first_id, await _posts(people, count), await _sample(people, ways[-1].reader_id))
        drawn = [row["user_id"] for row in await _rows(people, _DRAW, size.events)]
        rate = Figure(await entries_a_second(settings, people.redis, drawn), "/s")
        async with serving(settings.postgres_dsn.get_secret_value(), world) as url, Connection(url) as connection:
            rows = [
                row
                for one in measured
                for row in rows_of(one.what, one.ours, await _reference(connection, one, size), one.note)
            ]
    return [*rows, Row(f"fan-out over the graph, at most {size.active:,} lists", rate, note=f"{len(drawn):,} posts")]


async def _rows(people: Crowd, sql: str, *parameters: object) -> list[Any]:
    async with people.postgres.connection() as connection:
        return list(await connection.fetch(sql, FIRST, LAST, *parameters, timeout=BULK_S))


async def _settled(people: Crowd, path: Path, active: int) -> int:
    """Load the graph as people of the crowd, some with lists. Return the lowest id."""
    say(f"reading {path.name}")
    first_id = people.ids(0).start
    async with people.postgres.connection() as connection:
        people.ids(await stage(connection, path, first_id))
        await people.join(connection, "staged_people")
        await connection.execute(
            "INSERT INTO follows (follower_id, followee_id, created_at) "
            "SELECT follower_id, followee_id, now() FROM staged_follows",
            timeout=BULK_S,
        )
        await connection.execute("DROP TABLE staged_people, staged_follows")
    await people.settle(push_threshold())
    await people.give_lists([row["user_id"] for row in await _rows(people, _SOME, active)])
    return first_id


async def _way(people: Crowd, decade: Decade, row: Any, rounds: int) -> Measured:
    author, reader, sources = await people.author(row["user_id"]), await people.sign_in(row["last"]), set[str]()
    await people.api.call("GET", "/feed", reader)  # only lists that exist are pushed into
    times = [await delivered(people.api, author, reader, sources) for _ in range(rounds)]
    note = f"{row['followers']:,} followers, {', '.join(sorted(sources))}"
    what = f"post to the last follower of {_text(decade)}"
    return Measured(what, note, Latency.of(times), row["last"], row["user_id"])


async def _some_posts(people: Crowd, size: Size) -> list[int]:
    drawn = [row["user_id"] for row in await _rows(people, _DRAW, size.drawn)]
    for user_id in drawn:
        author = await people.author(user_id)
        for _ in range(size.drawn_posts):
            await people.api.call("POST", "/posts", author.account, json=author.post)
    return drawn


async def _reads(people: Crowd, decade: Decade, row: Any, size: Size) -> list[Measured]:
    reader = await people.sign_in(row["user_id"])
    async with Connection(people.api.base_url, reader.access_token) as connection:
        assembled = await reads(connection, await second_page(connection, size.page), size.reads)
        cached = await reads(connection, f"/v1/feed?limit={size.page}", size.reads)
    note = f"{row['following']:,} followees"
    return [
        Measured(f"cached page, {_text(decade)} followees", note, cached, row["user_id"]),
        Measured(f"assembled page, {_text(decade)} followees", note, assembled, row["user_id"]),
    ]


async def _posts(people: Crowd, count: int) -> list[tuple[int, int]]:
    """Return pairs of author and post, once the user service has received `count` posts."""

    async def heard_of() -> list[Any]:
        rows = await _rows(people, _POSTS)
        assert len(rows) >= count
        return rows

    return [(row["user_id"], row["post_id"]) for row in await eventually(heard_of)]


async def _sample(people: Crowd, reader_id: int) -> Mapping[str, Any]:
    page = await people.api.call("GET", "/feed", await people.sign_in(reader_id))
    post: Mapping[str, Any] = page["posts"][0]
    return post


async def _reference(connection: Connection, one: Measured, size: Size) -> Latency:
    if not one.author_id:
        return await reads(connection, f"/feed/{one.reader_id}?limit={size.page}", size.reads)
    ids = range(first_id := first_id_at(now_ms()), first_id + size.rounds)
    return Latency.of([await inserted(connection, one.author_id, one.reader_id, post_id) for post_id in ids])


def _text(decade: Decade) -> str:
    return "{:,} to {:,}".format(*decade)
