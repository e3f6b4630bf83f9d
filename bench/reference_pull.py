"""The reference: a pull feed by one PostgreSQL query, in a bare FastAPI + asyncpg app with its own database.

`python -m bench.reference_pull PORT` serves it. A page holds ids alone, so each figure is in the reference's favour.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import uvicorn
from fastapi import FastAPI

from libs.common.testing.eventually import eventually

DATABASE = "feedmill_bench_pull"
SERVER = "FEEDMILL_POSTGRES_DSN"
POOL = 16
SETUP = """
DROP TABLE IF EXISTS follows, posts;
CREATE TABLE follows (follower_id bigint, followee_id bigint, PRIMARY KEY (follower_id, followee_id));
CREATE TABLE posts (author_id bigint, post_id bigint, PRIMARY KEY (author_id, post_id));
"""
PEOPLE = """
INSERT INTO follows SELECT reader, (reader + n) % {users}
FROM generate_series(0, {users} - 1) reader, generate_series(1, {followees}) n
"""
POSTS = """
INSERT INTO posts SELECT author, n * {users} + author
FROM generate_series(0, {users} - 1) author, generate_series(1, {each}) n
"""
PAGE = """
SELECT p.post_id FROM follows f CROSS JOIN LATERAL
    (SELECT post_id FROM posts WHERE author_id = f.followee_id ORDER BY post_id DESC LIMIT $2) p
WHERE f.follower_id = $1 ORDER BY p.post_id DESC LIMIT $2
"""


def _dsn(server: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{DATABASE}"))


async def _lay_out(server: str, users: int, followees: int, posts_each: int) -> None:
    connection = await asyncpg.connect(server)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
    connection = await asyncpg.connect(_dsn(server))
    try:
        await connection.execute(SETUP)
        await connection.execute(PEOPLE.format(users=users, followees=followees))
        await connection.execute(POSTS.format(users=users, each=posts_each))
        await connection.execute("VACUUM ANALYZE follows, posts")  # sets the bits that index-only scans need
    finally:
        await connection.close()


async def _drop(server: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    finally:
        await connection.close()


def create_app(server: str) -> FastAPI:
    """GET /feed/{reader_id}, GET /post/{author_id}/{post_id}: inserts, for measuring the way to the feed."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(_dsn(server), min_size=POOL, max_size=POOL) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/feed/{reader_id}")
    async def feed(reader_id: int, limit: int = 20) -> dict[str, list[int]]:
        rows = await app.state.pool.fetch(PAGE, reader_id, limit)
        return {"posts": [row["post_id"] for row in rows]}

    @app.get("/post/{author_id}/{post_id}")
    async def post(author_id: int, post_id: int) -> dict[str, int]:
        await app.state.pool.execute("INSERT INTO posts VALUES ($1, $2)", author_id, post_id)
        return {"post_id": post_id}

    return app


@asynccontextmanager
async def serving(server: str, users: int, followees: int, posts_each: int) -> AsyncIterator[str]:
    """A fresh world of this shape, served by a process of its own; the base URL. Leaves nothing behind."""
    try:
        await _lay_out(server, users, followees, posts_each)
        async with _process(server) as url:
            yield url
    finally:
        await _drop(server)


@asynccontextmanager
async def _process(server: str) -> AsyncIterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, SERVER: server}  # not an argument: it holds a password, and arguments can be seen by all
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.reference_pull", str(port), env=env)
    try:
        await eventually(lambda: _answers(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


if __name__ == "__main__":
    app = create_app(os.environ[SERVER])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="error")
