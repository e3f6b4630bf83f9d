"""Consumer lag on a real Kafka."""

import asyncio
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.common.core.errors import UnavailableError
from libs.common.core.settings import Settings
from libs.common.kafka.lag import GroupProgress, LagMeter
from libs.common.kafka.producer import EventProducer
from libs.contracts.base import Event
from libs.contracts.events import UserCreated

pytestmark = pytest.mark.stores


async def publish(producer: EventProducer, count: int) -> None:
    events = (Event(payload=UserCreated(user_id=n), entity=uuid4().hex, entity_version=1) for n in range(count))
    await asyncio.gather(*(producer.publish(event) for event in events))


async def test_lag_is_what_a_group_has_not_committed(settings: Settings, producer: EventProducer) -> None:
    group, topic = uuid4().hex, settings.topic("users")
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap, group_id=f"{settings.namespace}{group}", enable_auto_commit=False
    )
    await consumer.start()
    partitions = [TopicPartition(topic, n) for n in range(2)]
    try:
        async with LagMeter(settings) as meter:
            await consumer.committed(partitions[0])  # waits until a fresh broker has made its coordinator
            before = await meter.lag(group, ["users"])
            await publish(producer, 30)
            assert await meter.lag(group, ["users"]) == before + 30
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            await consumer.commit({partitions[0]: ends[partitions[0]]})
            behind = ends[partitions[1]] - (await consumer.beginning_offsets(partitions))[partitions[1]]
            assert await meter.lag(group, ["users"]) == behind
            await consumer.commit({partitions[1]: ends[partitions[1]] - 1})
            assert await meter.lag(group, ["users"]) == 1
            assert await meter.lag(group, ["users", "counters"]) >= 1
            nobody = uuid4().hex
            found = await meter.progress({group: ["users"], nobody: ["users", "counters"]})
            assert found[group] == GroupProgress(1, ends[partitions[0]] + ends[partitions[1]] - 1)
            assert found[nobody] == GroupProgress(await meter.lag(nobody, ["users", "counters"]), 0)
    finally:
        await consumer.stop()


async def test_without_kafka_the_meter_is_unavailable(settings: Settings) -> None:
    """So a worker that starts without Kafka waits for it."""
    nobody = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    with pytest.raises(UnavailableError):
        async with LagMeter(nobody):
            pass
