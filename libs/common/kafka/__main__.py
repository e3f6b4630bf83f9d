"""`python -m libs.common.kafka`: create the topics that are missing."""

import asyncio
import sys

from aiokafka.errors import KafkaError
from pydantic import ValidationError

from libs.common.core.settings import Settings, faults
from libs.common.kafka.admin import create_topics
from libs.contracts.topics import TOPICS

try:
    created = asyncio.run(create_topics(Settings()))
except ValidationError as error:
    sys.exit("; ".join(faults(error)))
except KafkaError as error:
    sys.exit(f"creating topics failed: {error!r}")
print(f"{len(created)} topics created, {2 * len(TOPICS)} in all")
