"""Wrong counts are found and corrected in every place, while people go on writing."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from devstack.stack import Stack
from libs.common.core.settings import Settings
from libs.common.stores.cassandra import Cassandra
from libs.common.stores.postgres import open_postgres
from libs.common.stores.redis import open_redis
from libs.common.testing.eventually import eventually
from ops.client import Account, Api
from ops.counts import Owners, open_owners
from ops.reconcile import Place, Reconciler
from tests.conftest import operator_settings
from tests.e2e.world import follow, publish, stranger

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
SETTLE_S = 0.5  # nothing is on its way
PEOPLE = 3
GHOST = 7  # nobody's id
NO_POST = 8
EVENTS_BEHIND_S = 60.0


@pytest.fixture
def settings(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return operator_settings(stack, monkeypatch)


@pytest.fixture
async def api(base_url: str) -> AsyncIterator[Api]:
    async with Api(base_url) as api:
        yield api


@pytest.fixture
async def owners(settings: Settings) -> AsyncIterator[Owners]:
    async with open_owners(settings) as owners:
        yield owners


async def a_liked_post(api: Api) -> tuple[Account, list[Account], str]:
    author, people = await stranger(api), [await stranger(api) for _ in range(PEOPLE)]
    (post_id,) = await publish(api, author)
    for one in people:
        await follow(api, one, author)
        for act in ("like", "save", "view"):
            await api.send("POST", f"/posts/{post_id}/{act}", one)
        await api.call("POST", f"/posts/{post_id}/comments", one, json={"text": "well"})
    return author, people, post_id


async def plant_in_the_ledger(settings: Settings, post_id: int, missed: int) -> None:
    """Plant an extra member, remove one and set a wrong total, all with the existing write time."""
    async with Cassandra(settings, settings.keyspace("interaction")) as cassandra:
        for kind in ("like", "save"):
            count = (post_id, kind)
            written = "SELECT writetime(total) AS at FROM ledger WHERE post_id = %s AND kind = %s LIMIT 1"
            ((at,),) = await cassandra.execute(written, count)
            ghost = "INSERT INTO ledger (post_id, kind, member, present, version) VALUES (%s, %s, %s, true, 1)"
            await cassandra.execute(f"{ghost} USING TIMESTAMP %s", (*count, GHOST, at))
            lost = "DELETE FROM ledger USING TIMESTAMP %s WHERE post_id = %s AND kind = %s AND member = %s"
            await cassandra.execute(lost, (at, *count, missed))
            total = "UPDATE ledger USING TIMESTAMP %s SET total = 50 WHERE post_id = %s AND kind = %s"
            await cassandra.execute(total, (at, *count))


async def plant_in_the_copies(settings: Settings, post_id: int) -> None:
    """Store other counts under the same sequence."""
    async with open_redis(settings) as redis:
        key = f"{settings.redis_prefix('interaction')}counts:{post_id}"
        sequence = int((await redis.get(key) or b"0").split()[0])
        await redis.set(key, f"{sequence} 9 9 9 9")
    async with Cassandra(settings, settings.keyspace("post")) as cassandra:
        written = "SELECT writetime(like_count) AS at FROM posts_by_id WHERE post_id = %s"
        ((at,),) = await cassandra.execute(written, (post_id,))
        wrong = "UPDATE posts_by_id USING TIMESTAMP %s SET like_count = 60 WHERE post_id = %s"
        await cassandra.execute(wrong, (at, post_id))


async def plant_among_users(settings: Settings, user_id: int, post_id: int) -> None:
    async with open_postgres(settings, settings.keyspace("user")) as postgres:
        await postgres.execute("UPDATE user_counts SET followers = followers + 5 WHERE user_id = $1", user_id)
        await postgres.execute("DELETE FROM authored_posts WHERE post_id = $1", post_id)
        await postgres.execute("INSERT INTO authored_posts VALUES ($1, $2, false)", user_id, NO_POST)


async def test_planted_drift_is_found_and_mended_while_people_go_on(
    api: Api, settings: Settings, owners: Owners
) -> None:
    author, people, post_id = await a_liked_post(api)
    user_id, reconciler = int(author.user_id), Reconciler(owners, SETTLE_S)

    async def clean() -> bool:
        return await owners.lag() == 0 and await reconciler.check([user_id]) == []

    await eventually(clean, EVENTS_BEHIND_S)
    await api.call("GET", f"/posts/{post_id}", author)  # so that there is something in the cache
    await plant_in_the_ledger(settings, int(post_id), int(people[0].user_id))
    await plant_in_the_copies(settings, int(post_id))
    await plant_among_users(settings, user_id, int(post_id))
    drifts = await reconciler.check([user_id])
    assert {one.place for one in drifts} == set(Place)

    async def go_on(one: Account) -> None:
        for method in ("DELETE", "POST") * 3:
            await api.call(method, f"/posts/{post_id}/like", one)
            await api.send(method, f"/users/{user_id}/follow", one)

    _, *ends = await asyncio.gather(reconciler.mend(drifts), *(go_on(one) for one in people))
    assert len(ends) == PEOPLE
    await eventually(clean, EVENTS_BEHIND_S)
    engagement = (await api.call("GET", f"/posts/{post_id}", author))["engagement"]
    assert {engagement[f"{kind}_count"] for kind in ("like", "save", "comment", "view")} == {PEOPLE}
    profile = await api.call("GET", f"/users/{user_id}")
    assert (profile["follower_count"], profile["post_count"]) == (PEOPLE, 1)
