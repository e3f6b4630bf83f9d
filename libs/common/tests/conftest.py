from collections.abc import AsyncIterator

import pytest
import structlog

from libs.common.core.settings import Settings
from libs.common.kafka.admin import create_topics
from libs.common.kafka.producer import EventProducer
from libs.common.testing import settings_for

# Where rich is installed, structlog draws each traceback with all local variables: two seconds for one exception.
_PLAIN = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _PLAIN])


@pytest.fixture(scope="session")
async def settings(store_env: dict[str, str]) -> Settings:
    settings = settings_for(Settings, store_env)
    await create_topics(settings, partitions=2)
    return settings


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[EventProducer]:
    async with EventProducer(settings, "tests") as producer:
        yield producer
