"""The user service's own database."""

from collections.abc import AsyncIterator

import pytest

from libs.common.stores.postgres import Postgres, open_postgres
from libs.common.testing import settings_for
from services.user.__main__ import APPLICATION
from services.user.settings import UserSettings


@pytest.fixture(scope="session")
def user_settings(store_env: dict[str, str]) -> UserSettings:
    return settings_for(UserSettings, store_env)


@pytest.fixture(scope="session")
async def postgres(user_settings: UserSettings) -> AsyncIterator[Postgres]:
    await APPLICATION.migrate(user_settings)
    async with open_postgres(user_settings, user_settings.keyspace("user")) as opened:
        yield opened
