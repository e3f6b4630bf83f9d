"""`python -m libs.common.kafka`: create the topics that are missing."""

import asyncio

from libs.common.core.settings import Settings
from libs.common.kafka.admin import create_topics
from libs.contracts.topics import TOPICS

created = asyncio.run(create_topics(Settings()))
print(f"{len(created)} topics created, {2 * len(TOPICS)} in all")
