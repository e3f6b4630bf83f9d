"""The reference: a pull feed by one PostgreSQL query, in a bare FastAPI + asyncpg app with its own database.

`python -m bench.reference_pull PORT` serves it. Its posts are copies of one that Feedmill served, with author, counts
and the reader's marks joined. It has no accounts, rules, media or sessions, which is in its favour.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import orjson
import uvicorn
from fastapi import FastAPI, Response

from bench.reference_world import World
from libs.common.testing.eventually import eventually

DATABASE = "feedmill_bench_pull"
SERVER = "FEEDMILL_POSTGRES_DSN"
POOL = 16
SETUP = """
DROP TABLE IF EXISTS users, follows, posts, likes, saves;
CREATE TABLE users (user_id bigint PRIMARY KEY, author text);
CREATE TABLE follows (follower_id bigint, followee_id bigint, PRIMARY KEY (follower_id, followee_id));
CREATE TABLE posts (author_id bigint, post_id bigint, body text, likes int, comments int,
                    PRIMARY KEY (author_id, post_id));
CREATE TABLE likes (user_id bigint, post_id bigint, PRIMARY KEY (user_id, post_id));
CREATE TABLE saves (user_id bigint, post_id bigint, PRIMARY KEY (user_id, post_id));
"""
PAGE = """
SELECT p.post_id, p.body, p.likes, p.comments, u.author,
    EXISTS (SELECT FROM likes l WHERE l.user_id = $1 AND l.post_id = p.post_id) AS is_liked,
    EXISTS (SELECT FROM saves s WHERE s.user_id = $1 AND s.post_id = p.post_id) AS is_saved
FROM (SELECT p.* FROM follows f CROSS JOIN LATERAL
        (SELECT * FROM posts WHERE author_id = f.followee_id ORDER BY post_id DESC LIMIT $2) p
    WHERE f.follower_id = $1 ORDER BY p.post_id DESC LIMIT $2) p
JOIN users u ON u.user_id = p.author_id ORDER BY p.post_id DESC
"""


def _dsn(server: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{DATABASE}"))


async def _lay_out(server: str, world: World) -> None:
    connection = await asyncpg.connect(server)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
    connection = await asyncpg.connect(_dsn(server))
    try:
        await connection.execute(SETUP)
        await world.fill(connection)
        await connection.execute("VACUUM ANALYZE")  # sets the bits that index-only scans need
    finally:
        await connection.close()


async def _drop(server: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    finally:
        await connection.close()


def _post(row: asyncpg.Record) -> dict[str, object]:
    return {
        "post_id": str(row["post_id"]),
        "author": orjson.Fragment(row["author"]),
        "engagement": {
            "like_count": row["likes"],
            "comment_count": row["comments"],
            "is_liked": row["is_liked"],
            "is_saved": row["is_saved"],
        },
        "body": orjson.Fragment(row["body"]),
    }


def create_app(server: str) -> FastAPI:
    """GET /feed/{reader_id}, GET /post/{author_id}/{post_id}: inserts, for measuring the way to the feed."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(_dsn(server), min_size=POOL, max_size=POOL) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/feed/{reader_id}")
    async def feed(reader_id: int, limit: int = 20) -> Response:
        rows = await app.state.pool.fetch(PAGE, reader_id, limit)
        return Response(orjson.dumps({"posts": [_post(row) for row in rows]}), media_type="application/json")

    @app.get("/post/{author_id}/{post_id}")
    async def post(author_id: int, post_id: int) -> dict[str, int]:
        await app.state.pool.execute("INSERT INTO posts VALUES ($1, $2, '{}', 0, 0)", author_id, post_id)
        return {"post_id": post_id}

    return app


@asynccontextmanager
async def serving(server: str, world: World) -> AsyncIterator[str]:
    """The world, served by a process of its own; the base URL. Leaves nothing behind."""
    try:
        await _lay_out(server, world)
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
