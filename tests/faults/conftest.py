"""A system of its own for tests that take its stores away: those of the test run are in use by others."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from chaos.detour import detour
from conftest import OWN_STORES, STORES_DIR, stop_all, store_provider
from devstack.environment import public_url
from ops.client import Api
from tests.conftest import running_stack
from tests.e2e.world import follow, ready_media, stranger
from tests.faults.system import System, World

TIMEOUT_FACTOR = 2  # time-outs that are reached in a test, and not by a machine that is merely busy
PUSH_THRESHOLD = 2


@pytest.fixture(scope="package")
async def system() -> AsyncIterator[System]:
    """Shared by all rows: each leaves it whole."""
    home = Path(os.environ[STORES_DIR]) / OWN_STORES
    stores = store_provider(home, durable=True)
    if stores.name == "docker":
        pytest.skip("stores in containers come back too slowly for these tests: FEEDMILL_STORES=processes runs them")
    await asyncio.to_thread(stores.start)
    async with AsyncExitStack() as opened:
        try:
            ways, endpoints = await opened.enter_async_context(detour(stores))
            settings = {"FEEDMILL_TIMEOUT_FACTOR": str(TIMEOUT_FACTOR), "FEEDMILL_PUSH_THRESHOLD": str(PUSH_THRESHOLD)}
            stack = running_stack(home, endpoints, **settings)
            await asyncio.to_thread(stack.up, only=[name for name in stack.names() if name != "canary"])
            api = await opened.enter_async_context(Api(public_url(stack.state)))
            system = System(stack, stores, ways, api, await _world(api))
            await system.is_whole()
            yield system
        finally:
            await asyncio.to_thread(stop_all, home)


async def _world(api: Api) -> World:
    author, busy, reader = [await stranger(api) for _ in range(3)]
    for follower, followee in ((reader, author), (reader, busy), (author, busy)):
        await follow(api, follower, followee)
    world = World(author, busy, reader, await ready_media(api, author))
    for who, media_id in ((busy, await ready_media(api, busy)), (author, world.media_id)):
        answer = await api.call("POST", "/posts", who, json={"media_ids": [media_id], "caption": "before"})
        world.posts.append(answer["post_id"])
    return world
