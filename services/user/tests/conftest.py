"""The user service's own database."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.common.stores.postgres import Postgres, migrate, open_postgres
from services.user.__main__ import MIGRATIONS, NAME
from services.user.settings import UserSettings


@pytest.fixture(scope="session")
def user_settings(store_env: dict[str, str]) -> UserSettings:
    values: dict[str, Any] = {name.removeprefix("FEEDMILL_").lower(): value for name, value in store_env.items()}
    return UserSettings(**values, internal_secret="internal", cursor_secret="cursor")


@pytest.fixture(scope="session")
async def postgres(user_settings: UserSettings) -> AsyncIterator[Postgres]:
    await migrate(user_settings, user_settings.keyspace(NAME), MIGRATIONS)
    async with open_postgres(user_settings, user_settings.keyspace(NAME)) as opened:
        yield opened
