"""A graph from a file with `follower followee` on each line."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from bench.crowd import BULK_S
from bench.reference_world import parts
from libs.common.stores.postgres import Connection

INT64 = 1 << 63


class EdgeListError(RuntimeError):
    """The file is no edge list. The message names the line."""


def edges(lines: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Follower and followee of each line; what follows a `#` is a comment.

    Raises:
        EdgeListError: a line is something else.
    """
    for number, line in enumerate(lines, 1):
        if words := line.partition("#")[0].split():
            try:
                follower, followee = map(int, words)
            except ValueError:
                raise EdgeListError(f"line {number} is not 'follower followee': {line.strip()[:100]}") from None
            if not (-INT64 <= follower < INT64 and -INT64 <= followee < INT64):
                raise EdgeListError(f"line {number} has more than 64 bits: {line.strip()[:100]}")
            yield follower, followee


async def stage(connection: Connection, path: Path, first_id: int) -> int:
    """Fill temporary tables of the connection from an edge list, and return the number of people.

    `staged_people (user_id)` has ids from `first_id` on, in the order of the file's ids. `staged_follows (follower_id,
    followee_id)` has each follow once, and no follow from a user to the same user.
    """
    await connection.execute("CREATE TEMP TABLE staged_lines (follower bigint, followee bigint)")
    records = edges(_lines(path))  # streamed: neither side holds the file in memory
    await connection.copy_records_to_table("staged_lines", records=records, timeout=BULK_S)
    await connection.execute(
        f"CREATE TEMP TABLE staged_people AS SELECT id, {first_id} - 1 + row_number() OVER (ORDER BY id) AS user_id "
        "FROM (SELECT follower AS id FROM staged_lines UNION SELECT followee FROM staged_lines) ids",
        timeout=BULK_S,
    )
    await connection.execute(
        "CREATE TEMP TABLE staged_follows AS SELECT DISTINCT a.user_id AS follower_id, b.user_id AS followee_id "
        "FROM staged_lines JOIN staged_people a ON a.id = follower JOIN staged_people b ON b.id = followee "
        "WHERE follower <> followee",
        timeout=BULK_S,
    )
    await connection.execute("DROP TABLE staged_lines")
    return int(await connection.fetchval("SELECT count(*) FROM staged_people", timeout=BULK_S))


def _lines(path: Path) -> Iterator[str]:
    with path.open() as file:
        yield from file


@dataclass(frozen=True, slots=True)
class GraphWorld:
    """The people, follows and posts of a graph, for the reference; `posts` are pairs of author and post."""

    path: Path
    first_id: int
    posts: Sequence[tuple[int, int]]
    sample: Mapping[str, Any]

    async def fill(self, connection: asyncpg.Connection) -> None:
        """Write the data into the empty tables of the reference."""
        await stage(connection, self.path, self.first_id)
        author, body = parts(self.sample)
        await connection.execute("INSERT INTO users SELECT user_id, $1 FROM staged_people", author)
        await connection.execute("INSERT INTO follows SELECT follower_id, followee_id FROM staged_follows")
        rows = [(author_id, post_id, body, 0, 0) for author_id, post_id in self.posts]
        await connection.copy_records_to_table("posts", records=rows)
