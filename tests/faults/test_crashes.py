"""An acknowledged post reaches its followers though processes are killed at the worst moment."""

import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from devstack.environment import deployable_environ
from devstack.providers import StoreProvider
from devstack.stack import Stack
from libs.common.testing.eventually import eventually
from libs.common.testing.proxy import FaultProxy
from libs.deployables import DEPLOYABLES
from ops.client import Account, Api, Json
from ops.photos import paint
from tests.conftest import PUSH_THRESHOLD

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
RECOVERY_S = 90.0  # a restarted consumer may wait for its predecessor's session to end
REDIS_LATENCY_S = 0.2


@pytest.fixture
async def api(base_url: str) -> AsyncIterator[Api]:
    async with Api(base_url) as api:
        yield api


def environ(stack: Stack) -> dict[str, str]:
    return stack.environ(stack.provider().endpoints())


async def author_with_followers(api: Api, count: int) -> tuple[Account, list[Account]]:
    """Everyone has read their feed, so that there are lists to push into."""
    tag = secrets.token_hex(4)
    author = await api.register(f"author_{tag}", "a long password")
    followers = [await api.register(f"reader{i}_{tag}", "a long password") for i in range(count)]
    for follower in followers:
        await api.call("POST", f"/users/{author.user_id}/follow", follower)
        await api.call("GET", "/feed", follower)
    return author, followers


async def shown_to(api: Api, readers: Sequence[Account], post_id: str) -> int:
    """Count the readers that have the post in their feed once."""
    pages = [await api.call("GET", "/feed", reader, params={"order": "chronological"}) for reader in readers]
    times = [[post["post_id"] for post in page["posts"]].count(post_id) for page in pages]
    assert max(times) <= 1
    return sum(times)


async def ledger(api: Api, reader: Account, post_id: str, of: str, field: str) -> Json:
    """Return the `delivery` or `removal` that fan-out recorded, once this field has a value."""
    answer = await api.send("GET", f"/feed/explain/{post_id}", reader)
    assert answer.status_code == 200, "fan-out has not heard of it yet"
    found: Json = answer.json()[of]
    assert found
    assert found[field]
    return found


async def ready_media(api: Api, author: Account) -> str:
    media_id = await api.upload(author, paint("terrazzo", 1))
    assert (await api.settled(f"/media/{media_id}", author))["status"] == "ready"
    return media_id


async def test_the_post_service_dies_between_the_write_and_the_publish(
    stack: Stack, stores: StoreProvider, api: Api
) -> None:
    author, readers = await author_with_followers(api, 2)
    media_id = await ready_media(api, author)
    stores.pause("kafka")  # the write is acknowledged, the publish waits for an answer that never comes
    try:
        body = {"media_ids": [media_id], "caption": "last words"}
        answer = await api.call("POST", "/posts", author, json=body)
        stack.table.kill("post")
    finally:
        stores.resume("kafka")
    assert answer["status"] == "published"
    stack.up(only=["post"])
    await eventually(lambda: all_shown(api, readers, answer["post_id"]), RECOVERY_S)


@asynccontextmanager
async def slow_fanout(stack: Stack) -> AsyncIterator[None]:
    """Run a worker whose Redis answers late, kill it at the end, and start a normal one."""
    env = environ(stack)
    redis_url = env["FEEDMILL_REDIS_URL"]
    address = redis_url.split("//")[1].split("/")[0]
    worker = next(one for one in DEPLOYABLES if one.name == "fanout")
    async with FaultProxy(address) as redis:
        redis.latency_s = REDIS_LATENCY_S
        slow = {**env, "FEEDMILL_REDIS_URL": redis_url.replace(address, redis.address)}
        stack.table.stop(worker.name)
        command = [sys.executable, "-m", worker.module]
        stack.table.spawn(worker.name, command, deployable_environ(slow, stack.state, worker), stack.settings.root)
        try:
            yield
        finally:
            stack.table.kill(worker.name)
    stack.up(only=[worker.name])


async def test_the_fanout_worker_dies_in_the_middle_of_a_fanout(stack: Stack, api: Api) -> None:
    author, readers = await author_with_followers(api, PUSH_THRESHOLD - 1)
    body = {"media_ids": [await ready_media(api, author)], "caption": "in pieces"}
    async with slow_fanout(stack):
        post_id = (await api.call("POST", "/posts", author, json=body))["post_id"]
        begun = await eventually(lambda: ledger(api, readers[0], post_id, "delivery", "delivered"), RECOVERY_S)
        assert begun["finished_at"] is None
    await eventually(lambda: all_delivered(api, readers, post_id), RECOVERY_S)
    assert await shown_to(api, readers, post_id) == len(readers)


async def test_the_fanout_worker_dies_in_the_middle_of_a_removal(stack: Stack, api: Api) -> None:
    author, readers = await author_with_followers(api, PUSH_THRESHOLD - 1)
    body = {"media_ids": [await ready_media(api, author)], "caption": "not for long"}
    post_id = (await api.call("POST", "/posts", author, json=body))["post_id"]
    await eventually(lambda: all_delivered(api, readers, post_id), RECOVERY_S)

    async with slow_fanout(stack):
        await api.call("DELETE", f"/posts/{post_id}", author)
        begun = await eventually(lambda: ledger(api, readers[0], post_id, "removal", "delivered"), RECOVERY_S)
        assert begun["finished_at"] is None
    done = await eventually(lambda: ledger(api, readers[0], post_id, "removal", "finished_at"), RECOVERY_S)
    assert done["delivered"] == len(readers)


async def all_shown(api: Api, readers: Sequence[Account], post_id: str) -> bool:
    return await shown_to(api, readers, post_id) == len(readers)


async def all_delivered(api: Api, readers: Sequence[Account], post_id: str) -> bool:
    """Check that it is in all lists, because followers of less than an hour would pull it anyway."""
    answers = [await api.call("GET", f"/feed/explain/{post_id}", reader) for reader in readers]
    return all(answer["reason"] == "pushed" for answer in answers)
