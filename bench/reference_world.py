"""What the reference serves: people, follows and posts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg
import orjson

PEOPLE = "INSERT INTO users SELECT reader, $1 FROM generate_series(0, {users} - 1) reader"
FOLLOWS = """
INSERT INTO follows SELECT reader, (reader + n) % {users}
FROM generate_series(0, {readers} - 1) reader, generate_series(1, {followees}) n
"""
POSTS = """
INSERT INTO posts SELECT author, n * {users} + author, $1, 0, 0
FROM generate_series(0, {authors} - 1) author, generate_series(1, {each}) n
"""


class World(Protocol):
    """The data that the reference serves."""

    async def fill(self, connection: asyncpg.Connection) -> None:
        """Write the data into the empty tables of the reference."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the world is; `sample` is a post as GET /v1/feed shows it.

    The first `readers` of the users follow those after them, and the first `authors` have posts; None is all.
    """

    users: int
    followees: int
    posts_each: int
    sample: Mapping[str, Any]
    readers: int | None = None
    authors: int | None = None

    async def fill(self, connection: asyncpg.Connection) -> None:
        """Write the data into the empty tables of the reference."""
        author, body = parts(self.sample)
        readers, authors = self.readers or self.users, self.authors or self.users
        await connection.execute(PEOPLE.format(users=self.users), author)
        await connection.execute(FOLLOWS.format(users=self.users, readers=readers, followees=self.followees))
        await connection.execute(POSTS.format(users=self.users, authors=authors, each=self.posts_each), body)


def parts(sample: Mapping[str, Any]) -> tuple[str, str]:
    """The author of a post as GET /v1/feed shows it, and the post without what is joined."""
    body = {name: value for name, value in sample.items() if name not in ("post_id", "author", "engagement")}
    return orjson.dumps(sample["author"]).decode(), orjson.dumps(body).decode()
