"""An acknowledged write is never lost, and counts are exact, whatever is killed, paused or delivered again."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from conftest import store_provider
from devstack.environment import deployable_environ, public_url
from devstack.errors import ProcessFailed
from devstack.providers import StoreProvider
from devstack.stack import Stack, find, is_healthy
from devstack.stores import ALL
from libs.common.core.settings import Settings
from libs.common.kafka.lag import LagMeter
from libs.common.testing.eventually import eventually
from libs.contracts.codec import decode
from libs.contracts.topics import TOPICS, dead_letter_topic
from ops.client import Api
from ops.counts import ON_THEIR_WAY
from tests.conftest import operator_settings, running_stack
from tests.faults.acts import Acknowledged, Person, assert_kept, keep_acting

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]
PEOPLE = 4
PROCESSES = ("user", "post", "interaction", "feed", "fanout", "counters")
RECOVERY_S = 240.0  # long enough for a key whose tries die more than once
READY_S = 60.0
SEED = "FEEDMILL_FAULTS_SEED"  # the same writes and victims again, though not at the same moments
PARTITIONS = {topic.name: topic.partitions for topic in TOPICS}
CONSUMERS = ("counters", "post", "user")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProvider]:
    """Such as lose no acknowledged write by kill -9, and are nobody else's."""
    stores = store_provider(tmp_path_factory.mktemp("stores"), durable=True)
    try:
        stores.start()
        yield stores
    finally:
        stores.stop(discard=True)


@pytest.fixture(scope="module")
def stack(stores: StoreProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = running_stack(tmp_path_factory.mktemp("durable"), stores.endpoints())
    stack.up(only=[name for name in stack.names() if name != "canary"])
    yield stack
    stack.down()


@pytest.fixture
async def api(stack: Stack) -> AsyncIterator[Api]:
    async with Api(public_url(stack.state)) as api:
        yield api


@pytest.fixture
def settings(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return operator_settings(stack, monkeypatch)


@pytest.fixture
def rng() -> random.Random:
    seed = int(os.environ.get(SEED) or random.SystemRandom().getrandbits(32))
    print(f"{SEED}={seed}")
    return random.Random(seed)


async def a_world(api: Api, rng: random.Random) -> tuple[Acknowledged, list[Person]]:
    told = Acknowledged()
    return told, [await Person.born(api, told, rng) for _ in range(PEOPLE)]


@asynccontextmanager
async def acting(people: Sequence[Person]) -> AsyncIterator[None]:
    task = asyncio.create_task(keep_acting(people))
    try:
        yield
    finally:
        task.cancel()
        await task


def some_done(people: Sequence[Person], more: int) -> Callable[[], Awaitable[bool]]:
    """Return a condition: together they have done `more` additional writes."""
    goal = sum(person.acts for person in people) + more

    async def done() -> bool:
        return sum(person.acts for person in people) >= goal

    return done


def all_done(people: Sequence[Person], more: int) -> Callable[[], Awaitable[bool]]:
    """Return a condition: everybody has done `more` additional writes."""
    goals = [(person, person.acts + more) for person in people]

    async def done() -> bool:
        return all(person.acts >= goal for person, goal in goals)

    return done


def start(stack: Stack, name: str, instance: str) -> None:
    """Start a process of the deployable `name`, and return when it is ready."""
    env = deployable_environ(stack.environ(stack.provider().endpoints()), stack.state, find(stack, name))
    port = stack.state.free_port(instance)
    env |= {"FEEDMILL_PORT": str(port), "FEEDMILL_INSTANCE": instance}
    stack.table.spawn(instance, [sys.executable, "-m", find(stack, name).module], env, stack.settings.root)
    stack.table.wait_ready({instance: partial(is_healthy, port)}, READY_S)


def kill_and_start(stack: Stack, stores: StoreProvider, victim: str) -> None:
    for store in ALL:
        if store == victim:
            stores.kill(store)
            stores.start()
            return
    while True:  # as a supervisor does: it ends by itself while a store is unavailable
        stack.table.kill(victim)
        try:
            start(stack, victim, victim)
            return
        except ProcessFailed:
            continue


async def settled(api: Api, people: Sequence[Person], told: Acknowledged) -> float:
    """Seconds until everything that was acknowledged is there with its effects."""
    started = time.monotonic()

    async def kept() -> bool:
        await assert_kept(api, people, told)
        return True

    await eventually(kept, RECOVERY_S)
    return time.monotonic() - started


async def test_whatever_is_killed(
    stack: Stack, stores: StoreProvider, api: Api, settings: Settings, rng: random.Random
) -> None:
    told, people = await a_world(api, rng)
    async with acting(people):
        await asyncio.gather(*(kill_in_turn(stack, stores, people, victims, rng) for victims in (PROCESSES, ALL)))
    print(f"{sum(person.acts for person in people)} acts, effects after {await settled(api, people, told):.1f} s")
    events = await events_of(settings, [topic.name for topic in TOPICS])
    assert {event for event in events if event[0] == "dead letter"} == set()
    assert told.authors.keys() <= {entity for kind, entity in events if kind == "post.created"}
    comments = {comment for of_post in told.comments.values() for comment in of_post}
    assert comments <= {entity for kind, entity in events if kind == "comment.created"}


async def kill_in_turn(
    stack: Stack, stores: StoreProvider, people: Sequence[Person], victims: Sequence[str], rng: random.Random
) -> None:
    """Kill one victim after the other, each after some more writes were acknowledged."""
    for victim in rng.sample(victims, len(victims)):
        await eventually(some_done(people, rng.randint(1, 40)), RECOVERY_S)
        killed, served = time.monotonic(), some_done(people, PEOPLE)
        await asyncio.to_thread(kill_and_start, stack, stores, victim)
        ready = time.monotonic()
        await eventually(served, RECOVERY_S)
        print(f"{victim}: ready after {ready - killed:.1f} s, served {time.monotonic() - killed:.1f} s")


async def events_of(settings: Settings, topics: Sequence[str]) -> set[tuple[str, str]]:
    """Return (type, entity id) of all events of posts and comments, dead letters included."""
    names = {settings.topic(name): name for name in topics}
    dead = {settings.topic(dead_letter_topic(name)) for name in topics}
    consumer = AIOKafkaConsumer(*names, *dead, bootstrap_servers=settings.kafka_bootstrap, auto_offset_reset="earliest")
    found: set[tuple[str, str]] = set()
    async with consumer:
        partitions = [TopicPartition(name, p) for name in (*names, *dead) for p in consumer.partitions_for_topic(name)]
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for partition, records in (await consumer.getmany(timeout_ms=100)).items():
                for record in records:
                    event = decode(record.value)
                    if partition.topic in dead or event is None:
                        found.add(("dead letter", repr(record.value)))
                        continue
                    data = event.envelope.data
                    found.add((event.envelope.type, data.get("comment_id") or data.get("post_id") or ""))
    return found


async def test_whole_topics_are_delivered_again(stack: Stack, api: Api, settings: Settings, rng: random.Random) -> None:
    told, people = await a_world(api, rng)
    async with acting(people):
        await eventually(all_done(people, 20), RECOVERY_S)
    await settled(api, people, told)
    for name in CONSUMERS:
        await asyncio.to_thread(stack.table.stop, name)
    async with LagMeter(settings) as meter:
        for group, topics in ON_THEIR_WAY.items():
            for topic in topics:
                await rewind(settings, group, topic)
            assert await meter.lag(group, topics) > 0
        await asyncio.gather(*(asyncio.to_thread(start, stack, name, name) for name in CONSUMERS))

        async def caught_up() -> bool:
            await settled_now(api, people, told)
            return not any([await meter.lag(group, topics) for group, topics in ON_THEIR_WAY.items()])

        await eventually(caught_up, RECOVERY_S)
    await settled_now(api, people, told)


async def settled_now(api: Api, people: Sequence[Person], told: Acknowledged) -> None:
    """Counts are not even for a moment other than they were."""
    try:
        await assert_kept(api, people, told)
    except AssertionError as error:
        raise RuntimeError("a count moved") from error


async def rewind(settings: Settings, group: str, topic: str) -> None:
    """To the beginning of the topic, as soon as the group has forgotten its members."""
    name = settings.topic(topic)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=f"{settings.namespace}{group}",
        enable_auto_commit=False,
    )
    async with consumer:
        partitions = [TopicPartition(name, p) for p in range(PARTITIONS[topic])]
        consumer.assign(partitions)

        async def committed() -> bool:
            try:
                await consumer.commit(dict.fromkeys(partitions, 0))
            except KafkaError:
                return False
            return True

        await eventually(committed, RECOVERY_S)


async def test_a_counters_worker_is_taken_for_dead_and_wakes(stack: Stack, api: Api, rng: random.Random) -> None:
    told, people = await a_world(api, rng)
    async with acting(people):
        await eventually(all_done(people, 5), RECOVERY_S)
        stack.table.signal_tree("counters", signal.SIGSTOP)
        try:
            await asyncio.to_thread(start, stack, "counters", "counters-2")
            await eventually(all_done(people, 10), RECOVERY_S)
        finally:
            stack.table.signal_tree("counters", signal.SIGCONT)
        await eventually(all_done(people, 5), RECOVERY_S)
    await settled(api, people, told)
    await asyncio.to_thread(stack.table.kill, "counters-2")
    async with acting(people):
        await eventually(all_done(people, 2), RECOVERY_S)
    await settled(api, people, told)
