"""The consumer runner on a real Kafka."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer

from libs.common.contracts.base import Event, Payload
from libs.common.contracts.events import PostDeleted
from libs.common.kafka.consumer import POISON_ATTEMPTS, ConsumerRunner, Delivery, Handler, TooMuchPoisonError
from libs.common.kafka.producer import EventProducer
from libs.common.runtime.errors import UnavailableError
from libs.common.runtime.settings import Settings
from libs.common.testing.eventually import eventually

pytestmark = pytest.mark.stores


@asynccontextmanager
async def consuming(
    settings: Settings,
    handler: Handler,
    producer: EventProducer,
    group: str,
    on_dead_letter: Callable[[Delivery], Awaitable[None]] | None = None,
) -> AsyncIterator[asyncio.Task[None]]:
    runner = ConsumerRunner(settings, group, ["posts"], handler, producer, on_dead_letter)
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

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        mine = [d.payload for d in deliveries if isinstance(d.payload, PostDeleted)]
        mine = [payload for payload in mine if payload.author_id == self.author_id]
        if mine and self.fail and self.failures_left:
            self.failures_left -= 1
            raise self.fail
        self.posts += [payload.post_id for payload in mine]


@pytest.fixture
def collector() -> Collector:
    return Collector(uuid4().int >> 66)


async def test_events_of_one_key_come_in_order(
    settings: Settings, producer: EventProducer, collector: Collector
) -> None:
    for post_id in range(300):
        await producer.publish(deletion(collector.author_id, post_id))
    async with consuming(settings, collector, producer, uuid4().hex):
        await eventually(lambda: _length(collector, 300))
    assert collector.posts == list(range(300))


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
    letter = await _dead_letter(settings, group)
    assert letter.value == poison
    headers = dict(letter.headers)
    assert headers["dlq-topic"] == settings.topic("posts").encode()
    assert headers["type"] == b"post.created"
    assert b"Undecodable" in headers["dlq-error"]


async def test_what_went_to_the_dead_letters_is_told_of_and_the_rest_goes_on_though_that_fails(
    settings: Settings, producer: EventProducer, collector: Collector
) -> None:
    told: list[Payload] = []

    async def note(delivery: Delivery) -> None:
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


async def test_a_handler_that_always_fails_stops_instead_of_draining_the_topic(
    settings: Settings, producer: EventProducer
) -> None:
    async def broken(_: Sequence[Delivery]) -> None:
        raise KeyError("bug")

    for post_id in range(40):
        await producer.publish(deletion(1, post_id))
    async with consuming(settings, broken, producer, uuid4().hex) as task:
        with pytest.raises(TooMuchPoisonError):
            await asyncio.wait_for(task, 60)


async def _length(collector: Collector, length: int) -> bool:
    return len(collector.posts) >= length


async def _dead_letter(settings: Settings, group: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - aiokafka has no types
    topic = settings.topic("posts.dlq")
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=settings.kafka_bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(20):
            async for record in consumer:
                if dict(record.headers)["dlq-group"] == group.encode():
                    return record
    finally:
        await consumer.stop()
