"""The adapter of the topic `counters`."""

from libs.common.kafka.producer import EventProducer
from libs.contracts.base import Event
from libs.contracts.events import PostCounted


class KafkaCountsTopic:
    """Implements `workers.counters.ports.CountsTopic`."""

    def __init__(self, producer: EventProducer) -> None:
        self._producer = producer

    async def publish(self, counted: PostCounted) -> None:
        event = Event(payload=counted, entity=str(counted.post_id), entity_version=counted.sequence)
        await self._producer.publish(event)
