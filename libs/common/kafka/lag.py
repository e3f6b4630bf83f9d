"""The lag of consumer groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from libs.common.core.errors import UnavailableError
from libs.common.core.settings import Settings

_REQUEST_MS = 5_000


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """Messages that a group has not committed, and the sum of its committed offsets."""

    lag: int
    committed: int


class LagMeter:
    """Reads offsets from the brokers, without joining a consumer group.

    To open it raises UnavailableError if Kafka does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=_REQUEST_MS)
        self._consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=_REQUEST_MS)

    async def __aenter__(self) -> Self:
        try:
            await self._admin.start()
            await self._consumer.start()
        except BaseException as error:
            await self.__aexit__()
            if isinstance(error, (KafkaError, OSError)):
                raise UnavailableError("Kafka does not respond.") from error
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def lag(self, group: str, topics: Sequence[str]) -> int:
        """Return the number of messages that the group has not committed, or that are retained if it committed nothing.

        Raises:
            KafkaError, TimeoutError: the brokers did not answer.
        """
        return (await self.progress({group: topics}))[group].lag

    async def progress(self, groups: Mapping[str, Sequence[str]]) -> dict[str, GroupProgress]:
        """Return lag, as in `lag`, and progress of each group. The topics are described once for all groups.

        Raises:
            KafkaError, TimeoutError: the brokers did not answer.
        """
        settings = self._settings
        topics = {name: settings.topic(name) for names in groups.values() for name in names}
        described = await self._admin.describe_topics(list(topics.values()))
        of_topic = {
            t["topic"]: [TopicPartition(t["topic"], p["partition"]) for p in t["partitions"]] for t in described
        }
        committed = {
            group: await self._admin.list_consumer_group_offsets(f"{settings.namespace}{group}") for group in groups
        }
        everything = [partition for partitions in of_topic.values() for partition in partitions]
        begin = await self._consumer.beginning_offsets(everything)
        end = await self._consumer.end_offsets(everything)

        def of_group(group: str) -> GroupProgress:
            partitions = [partition for name in groups[group] for partition in of_topic[topics[name]]]
            done = {p: max(0, committed[group][p].offset) for p in partitions if p in committed[group]}
            return GroupProgress(
                sum(max(0, end[p] - max(begin[p], done.get(p, 0))) for p in partitions), sum(done.values())
            )

        return {group: of_group(group) for group in groups}
