"""What only a cluster has."""

from collections.abc import AsyncIterator
from typing import cast

import pytest
from redis.asyncio import Redis, RedisCluster

from libs.common.core.errors import UnavailableError
from libs.common.core.ids import first_id_at, now_ms
from libs.common.core.settings import Settings
from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.feedlists.delivery import DeliveryProgress, RemovalProgress
from libs.feedlists.lists import FeedLists, PushResult
from libs.feedlists.tests.cluster import NODES
from libs.feedlists.unpushed import UnpushedRanges

pytestmark = [pytest.mark.stores, pytest.mark.xdist_group("redis-cluster")]
USERS = range(1, 65)
POST = 381_000_000_000_000_000


@pytest.fixture
async def cluster(cluster_env: dict[str, str]) -> AsyncIterator[RedisCluster]:
    async with open_redis(settings_for(Settings, cluster_env)) as client:
        assert isinstance(client, RedisCluster)
        yield client
        await client.flushall()


@pytest.fixture
async def lists(cluster: RedisCluster) -> FeedLists:
    lists = FeedLists(cast("Redis", cluster), "lists:", buckets=16)
    for user_id in USERS:
        await lists.begin(user_id)
    return lists


async def test_buckets_spread_over_the_nodes(cluster: RedisCluster, lists: FeedLists) -> None:
    assert len({cluster.get_node_from_key(lists.key(user_id)) for user_id in USERS}) == NODES


async def test_a_node_without_functions_gets_them(cluster: RedisCluster, lists: FeedLists) -> None:
    for post_id, node in enumerate(cluster.get_primaries(), POST):
        await cluster.execute_command("FUNCTION FLUSH", target_nodes=node)
        first = await lists.deliver(USERS, [post_id])
        assert first.written + first.held == len(USERS)  # the other nodes' calls are repeated
        assert await lists.deliver(USERS, [post_id]) == PushResult(0, len(USERS), 0)


async def test_posts_of_many_authors_are_written_and_noted_on_all_nodes(
    cluster: RedisCluster, lists: FeedLists
) -> None:
    redis, posts = cast("Redis", cluster), range(POST, POST + 50)
    ledger, removals = DeliveryProgress(redis, "lists:"), RemovalProgress(redis, "lists:")
    assert {*await ledger.delivered_before(posts), *await removals.known(posts)} == set()
    for result in (PushResult(len(USERS), 0, 0), PushResult(0, len(USERS), 0)):
        assert await lists.deliver_each([(post, USERS) for post in posts]) == [result] * len(posts)
        await ledger.delivered((post, len(USERS), len(USERS)) for post in posts)
        assert await ledger.delivered_before(posts) == set(posts)
    await removals.note(POST + 7, 1)
    assert await removals.known(posts) == {POST + 7}


async def test_a_node_that_is_emptied_alone_leaves_no_list_without_its_gaps(
    cluster: RedisCluster, lists: FeedLists
) -> None:
    gaps = UnpushedRanges(cast("Redis", cluster), lists)
    skipped = first_id_at(now_ms())
    for node in cluster.get_primaries():
        await gaps.extend([skipped])
        await gaps.close()
        await cluster.execute_command("FLUSHALL", target_nodes=node)
        found = {user_id: await lists.read(user_id) for user_id in USERS}
        assert {bool(feed) for feed in found.values()} == {True, False}
        for user_id, feed in found.items():
            assert bool(await gaps.of(user_id)) == bool(feed)
            await lists.begin(user_id)


async def test_a_slot_that_is_elsewhere_is_found(cluster: RedisCluster, lists: FeedLists) -> None:
    slots = cluster.nodes_manager.slots_cache
    slots.update(dict.fromkeys(slots, slots[0]))  # as after resharding
    first = await lists.deliver(USERS, [POST])
    assert first.written + first.held == len(USERS)  # redirected calls may be made twice
    assert await lists.deliver(USERS, [POST]) == PushResult(0, len(USERS), 0)


async def test_a_cluster_that_is_away_is_unavailable() -> None:
    async with open_redis(settings_for(Settings, {}, redis_url="redis://127.0.0.1:1/0", redis_cluster=True)) as client:
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await FeedLists(client, "lists:", buckets=16).deliver(USERS, [POST])
            with pytest.raises(UnavailableError):
                await FeedLists(client, "lists:", buckets=16).read(1)
