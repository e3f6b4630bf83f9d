"""The public API, and people to use it."""

from collections.abc import AsyncIterator

import pytest

from ops.client import Api
from tests.e2e.world import Someone, stranger


@pytest.fixture
async def api(base_url: str) -> AsyncIterator[Api]:
    async with Api(base_url) as api:
        yield api


@pytest.fixture
def someone(api: Api) -> Someone:
    """Registers a new account on every call."""
    return lambda: stranger(api)
