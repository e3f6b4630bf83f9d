"""Topics, created as the contracts say."""

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from libs.common.contracts.topics import TOPICS, Topic, dead_letter_topic
from libs.common.runtime.settings import Settings

DLQ_RETENTION_MS = 30 * 86_400_000


def _wanted(settings: Settings, topic: Topic, partitions: int | None, replication: int) -> list[NewTopic]:
    config = {"retention.ms": str(topic.retention_ms)}
    wanted = [NewTopic(settings.topic(topic.name), partitions or topic.partitions, replication, topic_configs=config)]
    if topic.dead_letters:
        name = settings.topic(dead_letter_topic(topic.name))
        wanted.append(NewTopic(name, 1, replication, topic_configs={"retention.ms": str(DLQ_RETENTION_MS)}))
    return wanted


async def create_topics(settings: Settings, partitions: int | None = None, replication: int = 1) -> list[str]:
    """Create the topics that are missing; their names. Safe to run twice, and by two at once."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        wanted = [t for topic in TOPICS for t in _wanted(settings, topic, partitions, replication)]
        missing = [t for t in wanted if t.name not in existing]
        if missing:
            answer = await admin.create_topics(missing)
            for _, code, *_ in answer.topic_errors:
                if code and not issubclass(for_code(code), TopicAlreadyExistsError):
                    raise for_code(code)
        return [t.name for t in missing]
    finally:
        await admin.close()
