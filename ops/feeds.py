"""Feeds as their readers get them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.clients.feed import FeedClient
from libs.common.core.settings import Settings
from ops.services import service_client


@asynccontextmanager
async def open_feeds(settings: Settings) -> AsyncIterator[FeedClient]:
    """A client of the running feed service."""
    client = service_client("feed", settings)
    try:
        yield FeedClient(client)
    finally:
        await client.close()
