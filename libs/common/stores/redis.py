"""Redis connections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from libs.common.runtime.settings import Settings

SOCKET_S = 0.5  # writes may take this long (scale §10.2); feed reads set a shorter deadline of their own
POOL_SIZE = 64


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator["Redis"]:
    """A pooled client that answers in bytes; two retries after 10 ms (scale §10.2)."""
    pool = BlockingConnectionPool.from_url(
        settings.redis_url.get_secret_value(),
        max_connections=POOL_SIZE,
        timeout=SOCKET_S,
        socket_timeout=SOCKET_S,
        socket_connect_timeout=SOCKET_S,
        retry=Retry(ConstantBackoff(0.01), 2),
    )
    client = Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await client.aclose()
        await pool.aclose()
