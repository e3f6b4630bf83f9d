"""Without Kafka writes succeed and events follow later. When any process dies, nothing is lost or doubled."""

import asyncio
import secrets
import signal
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from libs.common.core.settings import Settings
from libs.common.kafka.lag import LagMeter
from libs.common.kafka.producer import EventProducer
from libs.common.testing.eventually import eventually
from libs.common.testing.proxy import Fault
from libs.contracts.base import Envelope, utc_now
from libs.deployables import DEPLOYABLES
from ops.client import Account
from tests.conftest import operator_settings
from tests.e2e.world import stranger
from tests.faults.system import RECOVERY_S, Blow, System, feeds_are_right

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
KILLED = [one.name for one in DEPLOYABLES if one.name != "canary"]  # which only watches
RETOLD = ("posts", "graph", "interactions")
LISTENERS = {
    "feed": RETOLD,
    "fanout": ("posts",),
    "fanout-chunks": ("feed.fanout",),
    "user-posts": ("posts",),
    "counters": ("interactions",),
}
POLL_MS = 500
WAITING = "feedmill_outbox_waiting"
OLDEST = "feedmill_outbox_oldest_seconds"
GIVEN_UP_S = 12.0  # the direct way waits for 5 s, twice if it was just at it
RETRIES = "feedmill_handler_retries_total"


async def everybody_likes(system: System, post_id: str) -> None:
    """Each until it is acknowledged, and all at once."""

    async def like(who: Account) -> None:
        async def liked() -> bool:
            return (await system.api.send("POST", f"/posts/{post_id}/like", who)).status_code == 200

        await eventually(liked, RECOVERY_S)

    await asyncio.gather(*map(like, (system.world.author, system.world.busy, system.world.reader)))


async def counted(system: System, post_id: str) -> None:
    """Wait until the counts equal the acknowledged writes, and check that the post was pushed once."""

    async def exact() -> bool:
        post = await system.api.call("GET", f"/posts/{post_id}", system.world.author)
        assert post["engagement"]["like_count"] == 3
        author = await system.api.call("GET", f"/users/{system.world.author.user_id}", system.world.author)
        assert author["post_count"] == len(system.world.posts) - 1
        pushed = await system.api.call("GET", f"/feed/explain/{post_id}", system.world.reader)
        assert pushed["delivery"]
        assert (pushed["reason"], pushed["delivery"]["delivered"]) == ("pushed", 1)
        return True

    await eventually(exact, RECOVERY_S)


async def clean(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    await feeds_are_right(operator_settings(system.stack, monkeypatch), system.world.reader)


@pytest.mark.parametrize("how", [*Blow, Fault.BLACK_HOLE, Fault.RESET])
async def test_without_kafka_writes_are_taken_and_told_later(
    system: System, how: Blow | Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, world = system.api, system.world
    async with system.without("kafka", how):
        kept, deleted = [(await system.publish()).json()["post_id"] for _ in range(2)]
        await api.call("PATCH", f"/posts/{kept}", world.author, json={"caption": "changed"})
        assert (await api.send("DELETE", f"/posts/{deleted}", world.author)).status_code == 204
        world.posts.remove(deleted)
        await everybody_likes(system, kept)
        for method in ("DELETE", "POST", "DELETE", "POST"):
            await api.call(method, f"/users/{world.author.user_id}/follow", world.reader)

        async def kept_for_later() -> bool:
            return await system.metric("post", WAITING) >= 4 and await system.metric("user", WAITING) >= 4

        await eventually(kept_for_later, RECOVERY_S)
    await counted(system, kept)
    await clean(system, monkeypatch)

    async def told() -> bool:
        return not any([await system.metric(name, WAITING) for name in ("post", "user", "interaction")])

    await eventually(told, RECOVERY_S)


async def test_what_is_done_while_kafka_is_away_and_comes_back_is_told_in_order(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, author = system.api, system.world.author
    follower, followee = [await stranger(api) for _ in range(2)]
    post_id = (await system.publish()).json()["post_id"]
    began_at, acts = utc_now(), 0

    async def act() -> None:
        nonlocal acts
        acts += 1
        await api.call("PATCH", f"/posts/{post_id}", author, json={"caption": str(acts)})
        for method in ("POST", "DELETE"):
            await api.call(method, f"/users/{followee.user_id}/follow", follower)

    async def act_until_they_are_given_up() -> bool:
        await act()
        return min([await system.metric(name, OLDEST) for name in ("post", "user")]) > GIVEN_UP_S

    async def act_until_none_waits() -> bool:
        await act()
        return not any([await system.metric(name, WAITING) for name in ("post", "user")])

    async with system.without("kafka", Blow.KILL):
        await eventually(act_until_they_are_given_up, RECOVERY_S)
        await system.replace("post", signal.SIGKILL)
        await system.replace("user", signal.SIGTERM)
        await eventually(act_until_they_are_given_up, RECOVERY_S)
    await eventually(act_until_none_waits, RECOVERY_S)
    await act()

    settings = operator_settings(system.stack, monkeypatch)
    wanted = {("post_id", post_id): acts, ("follower_id", follower.user_id): 2 * acts}

    async def told() -> bool:
        envelopes = [Envelope.model_validate_json(record.value) for record in await all_told(settings)]
        for (field, value), count in wanted.items():
            mine = [e for e in envelopes if e.occurred_at >= began_at and e.data.get(field) == value]
            versions = list(dict.fromkeys(envelope.entity_version for envelope in mine))
            assert versions == sorted(versions)
            assert len(versions) == count
        return True

    await eventually(told, RECOVERY_S)


async def test_acts_counted_while_redis_is_out_of_reach_are_shown_when_it_is_back_as_it_was(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    post_id = (await system.publish()).json()["post_id"]
    await system.api.call("POST", f"/posts/{post_id}/like", system.world.reader)

    async def likes() -> int:
        post = await system.api.call("GET", f"/posts/{post_id}", system.world.author)
        return int(post["engagement"]["like_count"])

    async def cached() -> bool:
        return await likes() == 1

    async def waits() -> bool:
        return await system.metric("counters", RETRIES) > before

    await eventually(cached, RECOVERY_S)
    before = await system.metric("counters", RETRIES)
    async with system.without("redis", Fault.RESET):
        await everybody_likes(system, post_id)
        await eventually(waits, RECOVERY_S)
    await counted(system, post_id)
    await clean(system, monkeypatch)


@pytest.mark.parametrize("name", KILLED)
async def test_a_process_that_dies_loses_and_doubles_nothing(
    system: System, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = (await system.publish()).json()["post_id"]
    keys = [secrets.token_hex(8) for _ in range(3)]

    async def publish(key: str) -> None:
        async def published() -> bool:
            return (await system.publish(key)).status_code in (201, 202)

        await eventually(published, RECOVERY_S)

    writing = asyncio.gather(everybody_likes(system, first), *map(publish, keys))
    async with system.without(name, Blow.KILL):
        pass
    await writing
    await counted(system, first)
    await system.is_whole()
    await clean(system, monkeypatch)


@pytest.mark.parametrize("name", ["fanout", "counters"])
async def test_a_worker_that_was_taken_for_dead_does_no_harm(
    system: System, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the midst of its work for longer than its session, while another does it; then it goes on."""
    first = (await system.publish()).json()["post_id"]
    async with system.without(name, Blow.PAUSE):
        await everybody_likes(system, first)
        for _ in range(3):
            await system.publish()
        async with system.second(name):
            await system.is_whole()
            await counted(system, first)
    await counted(system, first)
    await clean(system, monkeypatch)


async def test_all_that_was_told_may_be_told_again_and_backwards(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = operator_settings(system.stack, monkeypatch)
    first, deleted = [(await system.publish()).json()["post_id"] for _ in range(2)]
    await everybody_likes(system, first)
    assert (await system.api.send("DELETE", f"/posts/{deleted}", system.world.author)).status_code == 204
    system.world.posts.remove(deleted)
    await counted(system, first)
    await tell_again(settings)
    async with LagMeter(settings) as meter:

        async def heard() -> bool:
            return not any([await meter.lag(group, topics) for group, topics in LISTENERS.items()])

        await eventually(heard, RECOVERY_S)
    await counted(system, first)
    await system.is_whole()
    await clean(system, monkeypatch)


async def tell_again(settings: Settings) -> None:
    """Every record of the topics, the last one first."""
    async with EventProducer(settings, "tests") as producer:
        for record in reversed(await all_told(settings)):
            await producer.send_raw(record.topic, record.key, record.value, tuple(record.headers))


async def all_told(settings: Settings) -> list[Any]:
    """Every record of the topics."""
    topics = [settings.topic(name) for name in RETOLD]
    records: list[Any] = []
    async with AIOKafkaConsumer(
        *topics, bootstrap_servers=settings.kafka_bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for found in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                records += found
    return records
