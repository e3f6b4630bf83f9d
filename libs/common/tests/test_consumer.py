"""The consumer runner on a real Kafka."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from libs.common.core.errors import UnavailableError
from libs.common.core.settings import Settings
from libs.common.kafka import consumer
from libs.common.kafka.admin import create_topics
from libs.common.kafka.consumer import (
    POISON_ATTEMPTS,
    ConsumerRunner,
    GatheringRunner,
    Handler,
    ReceivedEvent,
    TooMuchPoisonError,
    UnorderedRunner,
)
from libs.common.kafka.producer import EventProducer
from libs.common.testing import settings_for
from libs.common.testing.eventually import eventually
from libs.common.testing.samples import sample
from libs.contracts.base import Event, Payload
from libs.contracts.codec import decode
from libs.contracts.events import PostDeleted

pytestmark = pytest.mark.stores


@asynccontextmanager
async def consuming(
    settings: Settings,
    handler: Handler,
    producer: EventProducer,
    group: str,
    on_dead_letter: Callable[[ReceivedEvent], Awaitable[None]] | None = None,
    runs: type[ConsumerRunner] = ConsumerRunner,
) -> AsyncIterator[asyncio.Task[None]]:
    runner = runs(settings, group, ["posts"], handler, producer, on_dead_letter)
    task = asyncio.create_task(runner.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def deletion(author_id: int, post_id: int) -> Event:
    return Event(payload=PostDeleted(post_id=post_id, author_id=author_id), entity=str(post_id), entity_version=2)


class Collector:
    """Remembers the posts of one author: tests share the topic."""

    def __init__(self, author_id: int) -> None:
        self.author_id = author_id
        self.posts: list[int] = []
        self.fail: Exception | None = None
        self.failures_left = 0

    async def __call__(self, deliveries: Sequence[ReceivedEvent]) -> None:
        mine = [d.payload for d in deliveries if isinstance(d.payload, PostDeleted)]
        mine = [payload for payload in mine if payload.author_id == self.author_id]
        if mine and self.fail and self.failures_left:
            self.failures_left -= 1
            raise self.fail
        self.posts += [payload.post_id for payload in mine]


@pytest.fixture
def collector() -> Collector:
    return Collector(uuid4().int >> 66)


@pytest.mark.parametrize("runs", [ConsumerRunner, GatheringRunner])
async def test_events_of_one_key_come_in_order(
    settings: Settings, producer: EventProducer, collector: Collector, runs: type[ConsumerRunner]
) -> None:
    for post_id in range(300):
        await producer.publish(deletion(collector.author_id, post_id))
    group = uuid4().hex
    async with consuming(settings, collector, producer, group, runs=runs):
        await eventually(lambda: _length(collector, 300))
    assert collector.posts == list(range(300))
    assert 0 <= time.time() - sample("feedmill_worker_heartbeat_time_seconds", group=group) < 60


async def test_what_was_committed_is_not_handled_again(
    settings: Settings, producer: EventProducer, collector: Collector
) -> None:
    group = uuid4().hex
    await producer.publish(deletion(collector.author_id, 1))
    async with consuming(settings, collector, producer, group):
        await eventually(lambda: _length(collector, 1))
    await producer.publish(deletion(collector.author_id, 2))
    async with consuming(settings, collector, producer, group):
        await eventually(lambda: _length(collector, 2))
    assert collector.posts == [1, 2]


async def test_partitions_share_calls_and_commits(store_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(Settings, {**store_env, "FEEDMILL_NAMESPACE": f"many{uuid4().hex[:8]}_"})
    await create_topics(settings, partitions=4)
    calls, commits, commit = list[set[int]](), list[set[TopicPartition]](), AIOKafkaConsumer.commit

    async def handle(events: Sequence[ReceivedEvent]) -> None:
        calls.append({event.partition for event in events})

    async def note(self: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
        await commit(self, offsets)
        commits.append(set(offsets))

    async def all_committed() -> bool:
        return len(set().union(*commits)) == 4

    monkeypatch.setattr(AIOKafkaConsumer, "commit", note)
    async with EventProducer(settings, "tests") as producer:
        await asyncio.gather(*(producer.publish(deletion(author, author)) for author in range(40)))
        async with consuming(settings, handle, producer, "g", runs=GatheringRunner):
            await eventually(all_committed)
    assert set().union(*calls) == {0, 1, 2, 3}
    assert any(len(partitions) > 1 for partitions in calls)
    assert len(calls) == len(commits)


async def test_poison_among_partitions_blocks_none(store_env: dict[str, str]) -> None:
    settings = settings_for(Settings, {**store_env, "FEEDMILL_NAMESPACE": f"bane{uuid4().hex[:8]}_"})
    await create_topics(settings, partitions=4)
    handled: list[int] = []

    async def handle(events: Sequence[ReceivedEvent]) -> None:
        posts = [event.payload.post_id for event in events if isinstance(event.payload, PostDeleted)]
        if 7 in posts:
            raise ValueError("poison")
        handled.extend(posts)

    async def all_but_one() -> bool:
        return set(handled) == set(range(40)) - {7}

    async with EventProducer(settings, "tests") as producer:
        await asyncio.gather(*(producer.publish(deletion(author, author)) for author in range(40)))
        async with consuming(settings, handle, producer, "g", runs=GatheringRunner):
            await eventually(all_but_one)
        assert len(handled) == 39, "none is handled again"
        [letter] = await _dead_letters(settings, "g")
        found = decode(letter.value)
        assert found is not None
        assert isinstance(found.payload, PostDeleted)
        assert found.payload.post_id == 7


async def test_a_commit_over_a_closed_connection_is_repeated(
    settings: Settings, producer: EventProducer, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, failures = AIOKafkaConsumer.commit, [RuntimeError("unable to perform operation on <TCPTransport …>")]

    async def fail_once(self: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
        if failures:
            raise failures.pop()
        await commit(self, offsets)

    monkeypatch.setattr(AIOKafkaConsumer, "commit", fail_once)
    async with consuming(settings, collector, producer, uuid4().hex):
        for post_id in (1, 2):  # the second is handled only if the first commit has not ended the consumer
            await producer.publish(deletion(collector.author_id, post_id))
            await eventually(partial(_length, collector, post_id))
    assert not failures
    assert collector.posts == [1, 2]


async def test_a_store_that_is_away_loses_nothing(
    settings: Settings, producer: EventProducer, collector: Collector
) -> None:
    collector.fail, collector.failures_left = UnavailableError(), 4
    await producer.publish(deletion(collector.author_id, 1))
    async with consuming(settings, collector, producer, uuid4().hex):
        await eventually(lambda: _length(collector, 1))
    assert collector.failures_left == 0


async def test_poison_goes_to_the_dead_letters_and_blocks_nothing(
    settings: Settings, producer: EventProducer, collector: Collector
) -> None:
    poison = f"poison {collector.author_id}".encode()
    key = str(collector.author_id).encode()
    await producer.send_raw(settings.topic("posts"), key, poison, (("type", b"post.created"),))
    await producer.publish(deletion(collector.author_id, 7))
    group = uuid4().hex
    async with consuming(settings, collector, producer, group):
        await eventually(lambda: _length(collector, 1))
    [letter] = await _dead_letters(settings, group)
    assert letter.value == poison
    headers = dict(letter.headers)
    assert headers["dlq-topic"] == settings.topic("posts").encode()
    assert headers["type"] == b"post.created"
    assert b"Undecodable" in headers["dlq-error"]


async def test_what_went_to_the_dead_letters_is_told_of_and_the_rest_goes_on_though_that_fails(
    settings: Settings, producer: EventProducer, collector: Collector
) -> None:
    told: list[Payload] = []

    async def note(delivery: ReceivedEvent) -> None:
        told.append(delivery.payload)
        raise UnavailableError

    collector.fail, collector.failures_left = ValueError("poison"), POISON_ATTEMPTS + 1  # the batch, then it alone
    dead = deletion(collector.author_id, 1)
    await producer.publish(dead)
    async with consuming(settings, collector, producer, uuid4().hex, note):

        async def is_told() -> bool:
            return bool(told)

        await eventually(is_told)
        await producer.publish(deletion(collector.author_id, 2))
        await eventually(lambda: _length(collector, 1))
    assert (told, collector.posts) == ([dead.payload], [2])


async def test_a_deploy_that_always_fails_stops_and_the_next_one_goes_on_where_it_was(
    store_env: dict[str, str], collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Sequence[ReceivedEvent]) -> None:
        raise KeyError("bug")

    monkeypatch.setattr(consumer, "MIN_POISON_TO_STOP", 5)
    settings = settings_for(Settings, {**store_env, "FEEDMILL_NAMESPACE": f"bad{uuid4().hex[:8]}_"})
    await create_topics(settings, partitions=1)
    posts = list(range(20))
    async with EventProducer(settings, "tests") as producer:
        for post_id in posts:
            await producer.publish(deletion(collector.author_id, post_id))
        for _ in range(2):  # a supervisor starts it again
            async with consuming(settings, broken, producer, "g") as task:
                with pytest.raises(TooMuchPoisonError):
                    await asyncio.wait_for(task, 60)
        letters = [decode(letter.value) for letter in await _dead_letters(settings, "g")]
        dead = [letter.payload.post_id for letter in letters if letter and isinstance(letter.payload, PostDeleted)]
        assert dead == posts[:8]
        async with consuming(settings, collector, producer, "g"):
            await eventually(lambda: _length(collector, len(posts) - len(dead)))
    assert collector.posts == posts[8:]


async def test_independent_records_do_not_wait_for_one_another_and_the_first_that_is_not_done_is_committed(
    store_env: dict[str, str],
) -> None:
    settings = settings_for(
        Settings, {**store_env, "FEEDMILL_NAMESPACE": f"un{uuid4().hex[:8]}_", "FEEDMILL_DRAIN_S": "0.1"}
    )
    await create_topics(settings, partitions=1)
    handled: list[int] = []
    held = {3}

    async def handle(deliveries: Sequence[ReceivedEvent]) -> None:
        [delivery] = deliveries
        assert isinstance(delivery.payload, PostDeleted)
        if delivery.payload.post_id in held:
            await asyncio.Event().wait()
        handled.append(delivery.payload.post_id)

    async def have(count: int) -> bool:
        return len(handled) == count

    async with EventProducer(settings, "tests") as producer:
        await producer.send_raw(settings.topic("posts"), b"1", b"poison", (("type", b"post.created"),))
        for post_id in range(6):
            await producer.publish(deletion(1, post_id))
        async with consuming(settings, handle, producer, "g", runs=UnorderedRunner):
            await eventually(lambda: have(5))
        assert sorted(handled) == [0, 1, 2, 4, 5]
        held.clear()
        async with consuming(settings, handle, producer, "g", runs=UnorderedRunner):
            await eventually(lambda: have(8))
        assert sorted(handled[5:]) == [3, 4, 5]
        async with consuming(settings, handle, producer, "g", runs=UnorderedRunner):
            await producer.publish(deletion(1, 6))
            await eventually(lambda: have(9))
        assert handled[8] == 6
        assert len(await _dead_letters(settings, "g")) == 1


async def _length(collector: Collector, length: int) -> bool:
    return len(collector.posts) >= length


async def _dead_letters(settings: Settings, group: str) -> list[ConsumerRecord]:
    """Return all dead letters that the group has so far."""
    partition = TopicPartition(settings.topic("posts.dlq"), 0)
    reader = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, auto_offset_reset="earliest")
    await reader.start()
    try:
        reader.assign([partition])
        [end], records = (await reader.end_offsets([partition])).values(), []
        async with asyncio.timeout(20):
            while await reader.position(partition) < end:
                records += (await reader.getmany(partition, timeout_ms=500)).get(partition, [])
        return [record for record in records if dict(record.headers).get("dlq-group") == group.encode()]
    finally:
        await reader.stop()
