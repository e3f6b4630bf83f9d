"""Why a post is, or is not, in a feed; and the oracle's verdict on the real feeds."""

from collections.abc import AsyncIterator
from datetime import datetime

import asyncpg
import pytest

from devstack.stack import Stack
from libs.common.core.ids import parse_id
from libs.common.core.settings import Settings
from libs.common.stores.redis import open_redis
from libs.common.testing.eventually import eventually
from libs.feedlists import FeedLists
from ops.client import Account, Api, Json
from ops.judge import Fault
from ops.oracle import Oracle, open_oracle
from ops.rebuild import Difference, Rebuilder
from ops.records import Records
from tests.conftest import PUSH_THRESHOLD, operator_settings
from tests.e2e.test_feed_rules import crowd
from tests.e2e.world import Someone, feed, feed_shows, follow, publish

pytestmark = pytest.mark.stack
BUCKETS = 16


@pytest.fixture
def settings(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return operator_settings(stack, monkeypatch)


@pytest.fixture
async def oracle(settings: Settings) -> AsyncIterator[Oracle]:
    async with open_oracle(settings, grace_s=0, fresh=True) as oracle:
        yield oracle


@pytest.fixture
async def lists(settings: Settings) -> AsyncIterator[FeedLists]:
    async with open_redis(settings) as redis:
        yield FeedLists(redis, settings.redis_prefix("feed"), BUCKETS)


async def explained(api: Api, reader: Account, post_id: str) -> Json:
    return await api.call("GET", f"/feed/explain/{post_id}", reader)


async def pushed(api: Api, reader: Account, post_id: str) -> Json:
    async def found() -> Json:
        answer = await explained(api, reader, post_id)
        assert answer["reason"] == "pushed"
        return answer

    return await eventually(found)


async def test_the_ways_into_a_feed(api: Api, someone: Someone) -> None:
    author, popular = await someone(), await someone()
    reader, *_ = await crowd(api, someone, popular, PUSH_THRESHOLD + 1)
    await follow(api, reader, author)
    await feed(api, reader)
    (own,), (from_author,), (from_popular,) = [await publish(api, who) for who in (reader, author, popular)]
    answer = await pushed(api, reader, from_author)
    assert (answer["in_feed"], answer["source"]) == (True, "pushed")
    assert answer["rank"] in (1, 2, 3)
    assert answer["score"]["total"] > 0
    delivery = answer["delivery"]
    assert (delivery["mode"], delivery["followers"], delivery["delivered"]) == ("push", 1, 1)
    assert delivery["finished_at"] is not None
    for post_id, reason in ((own, "own"), (from_popular, "pulled")):
        answer = await explained(api, reader, post_id)
        assert (answer["in_feed"], answer["reason"], answer["source"]) == (True, reason, reason)


async def test_the_ways_out_of_it(api: Api, someone: Someone) -> None:
    stranger, muted, blocked, reader = [await someone() for _ in range(4)]
    posts = {who.user_id: (await publish(api, who))[0] for who in (stranger, muted, blocked)}
    await follow(api, reader, muted)
    await api.call("POST", f"/users/{muted.user_id}/mute", reader)
    await api.call("POST", f"/users/{blocked.user_id}/block", reader)
    for who, reason in ((stranger, "not_followed"), (muted, "muted")):
        answer = await explained(api, reader, posts[who.user_id])
        assert (answer["in_feed"], answer["reason"], answer["rank"]) == (False, reason, None)
    await api.call("DELETE", f"/posts/{posts[stranger.user_id]}", stranger)
    for hidden in (posts[blocked.user_id], posts[stranger.user_id], "1", "no id"):
        assert (await api.send("GET", f"/feed/explain/{hidden}", reader)).status_code == 404


async def test_a_delete_is_followed_to_the_last_list(api: Api, someone: Someone, lists: FeedLists) -> None:
    author, stranger = await someone(), await someone()
    readers = await crowd(api, someone, author, 3)
    for reader in readers:
        await feed(api, reader)
    kept, gone = await publish(api, author, 2)
    for reader in readers:
        await pushed(api, reader, kept)
        await pushed(api, reader, gone)
    await api.call("DELETE", f"/posts/{gone}", author)

    async def removed() -> Json:
        response = await api.send("GET", f"/feed/explain/{gone}", readers[0])
        assert response.status_code == 200, "fan-out has not heard of the delete yet"
        answer: Json = response.json()
        assert answer["removal"]
        assert answer["removal"]["finished_at"] is not None
        return answer

    answer = await eventually(removed)
    assert (answer["in_feed"], answer["reason"], answer["rank"]) == (False, "deleted", None)
    counts = ("mode", "followers", "chunks", "chunks_done", "delivered", "retries", "dead_letters")
    for ledger in ("delivery", "removal"):
        assert [answer[ledger][name] for name in counts] == ["push", 3, 3, 3, 3, 0, 0]
    ends = answer["delivery"]["finished_at"], answer["removal"]["started_at"], answer["removal"]["finished_at"]
    delivered, removing, gone_at = map(datetime.fromisoformat, ends)
    assert delivered < removing <= gone_at
    for reader in readers:
        found = await lists.read(int(reader.user_id), renew=False)
        assert found is not None
        assert int(kept) in found.post_ids
        assert int(gone) not in found.post_ids
    assert (await explained(api, author, gone))["reason"] == "deleted"
    assert (await api.send("GET", f"/feed/explain/{gone}", stranger)).status_code == 404


async def test_the_oracle_finds_the_real_feeds_right(api: Api, someone: Someone, oracle: Oracle) -> None:
    author, reader = await someone(), await someone()
    await follow(api, reader, author)
    await feed_shows(api, reader, await publish(api, author, 3))
    await publish(api, reader)
    assert int(reader.user_id) in await oracle.readers(10_000)
    for who in (author, reader):
        for verdict in await oracle.check(int(who.user_id)):
            assert verdict.findings == []
            assert verdict.item_count in (3, 4)


async def test_the_oracle_finds_a_lost_entry_and_its_cause(
    api: Api, someone: Someone, oracle: Oracle, lists: FeedLists, stack: Stack
) -> None:
    author, reader = await someone(), await someone()
    await follow(api, reader, author)
    await feed(api, reader)
    (post_id,) = await publish(api, author)
    await pushed(api, reader, post_id)
    await age_follows(api, stack, reader)
    await lists.remove(int(reader.user_id), [parse_id(post_id) or 0])
    for verdict in await oracle.check(int(reader.user_id)):
        assert [(one.fault, one.post_id) for one in verdict.findings] == [(Fault.MISSING, parse_id(post_id))]
        assert set(verdict.causes.values()) == {"lost"}


async def test_a_rebuild_reports_the_difference_and_mends_it(
    api: Api, someone: Someone, oracle: Oracle, lists: FeedLists, stack: Stack, settings: Settings
) -> None:
    author, reader = await someone(), await someone()
    reader_id = int(reader.user_id)
    await follow(api, reader, author)
    await lists.begin(
        reader_id
    )  # not by reading: the canary reads feeds of recent readers, and a read repairs the list
    await lists.merge(reader_id, [], finish=True)
    lost, deleted, _ = await publish(api, author, 3)
    await pushed(api, reader, lost)
    await age_follows(api, stack, reader)
    await lists.remove(reader_id, [int(lost)])
    await api.call("DELETE", f"/posts/{deleted}", author)

    async def withdrawn() -> bool:
        found = await lists.read(reader_id, renew=False)
        return found is not None and int(deleted) not in found.post_ids

    await eventually(withdrawn)
    await lists.merge(reader_id, [int(deleted)], finish=False)
    async with Records(settings) as records:
        rebuilder = Rebuilder(records, lists)
        expected = Difference(reader_id, frozenset({int(lost)}), frozenset({int(deleted)}))
        assert await rebuilder.rebuild(reader_id, swap=False) == expected
        assert await rebuilder.rebuild(reader_id, swap=True) == expected
        assert await rebuilder.rebuild(reader_id, swap=True) == Difference(reader_id, frozenset(), frozenset())
    assert [verdict.findings for verdict in await oracle.check(reader_id)] == [[], []]


async def age_follows(api: Api, stack: Stack, reader: Account) -> None:
    """Set follows back as if the hour had passed in which a new followee is pulled."""
    env = stack.environ(stack.provider().endpoints())
    dsn = env["FEEDMILL_POSTGRES_DSN"].rsplit("/", 1)[0] + f"/{env['FEEDMILL_NAMESPACE']}feedmill_user"
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("UPDATE follows SET pull_until = NULL WHERE follower_id = $1", int(reader.user_id))
    finally:
        await connection.close()
    # The feed service keeps the followees of the hour in memory until the reader does something.
    await api.call("PATCH", f"/users/{reader.user_id}", reader, json={"bio": "an hour later"})
