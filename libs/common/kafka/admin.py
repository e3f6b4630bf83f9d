"""Creates the topics that the contracts declare."""

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from libs.common.core.settings import Settings
from libs.contracts.topics import TOPICS, Topic, dead_letter_topic

DLQ_RETENTION_MS = 30 * 86_400_000


def _wanted(settings: Settings, topic: Topic, partitions: int | None) -> list[NewTopic]:
    def new(name: str, partitions: int, retention_ms: int) -> NewTopic:
        replicas = settings.kafka_replication
        config = {"retention.ms": str(retention_ms), "min.insync.replicas": str(max(1, replicas - 1))}
        return NewTopic(settings.topic(name), partitions, replicas, topic_configs=config)

    return [
        new(topic.name, partitions or topic.partitions, topic.retention_ms),
        new(dead_letter_topic(topic.name), 1, DLQ_RETENTION_MS),
    ]


async def create_topics(settings: Settings, partitions: int | None = None) -> list[str]:
    """Create missing topics; returns their names. Safe to run twice, and in two processes at the same time."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        wanted = [t for topic in TOPICS for t in _wanted(settings, topic, partitions)]
        missing = [t for t in wanted if t.name not in existing]
        if missing:
            answer = await admin.create_topics(missing)
            for _, code, *_ in answer.topic_errors:
                if code and not issubclass(for_code(code), TopicAlreadyExistsError):
                    raise for_code(code)
        return [t.name for t in missing]
    finally:
        await admin.close()
