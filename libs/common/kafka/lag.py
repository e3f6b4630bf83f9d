"""The lag of consumer groups."""

from collections.abc import Sequence
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from libs.common.core.settings import Settings

_REQUEST_MS = 5_000


class LagMeter:
    """Reads offsets from the brokers, without joining a consumer group."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=_REQUEST_MS)
        self._consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=_REQUEST_MS)

    async def __aenter__(self) -> Self:
        await self._admin.start()
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def lag(self, group: str, topics: Sequence[str]) -> int:
        """Return the number of messages that the group has not committed, or that are retained if it committed nothing.

        Raises:
            KafkaError, TimeoutError: the brokers did not answer.
        """
        described = await self._admin.describe_topics([self._settings.topic(name) for name in topics])
        partitions = [TopicPartition(t["topic"], p["partition"]) for t in described for p in t["partitions"]]
        committed = await self._admin.list_consumer_group_offsets(f"{self._settings.namespace}{group}")
        begin, end = await self._consumer.beginning_offsets(partitions), await self._consumer.end_offsets(partitions)
        done = {p: max(begin[p], committed[p].offset if p in committed else -1) for p in partitions}
        return sum(max(0, end[p] - done[p]) for p in partitions)
