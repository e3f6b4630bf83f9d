"""What is measured of calls to services."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from libs.common.core.errors import UnavailableError
from libs.common.core.policies import Policy
from libs.common.core.settings import Settings
from libs.common.testing import SECRET, settings_for
from libs.common.testing.samples import sample
from libs.common.web.auth import ServiceTokens
from libs.common.web.client import ServiceClient

Answer = tuple[int, bytes]


class Answering:
    """Stands for the dependency: the client's calls get this answer, or none."""

    def __init__(self, answer: Answer | None) -> None:
        self._answer = answer

    async def call(self, _: Policy, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        if self._answer is None:
            raise UnavailableError
        return self._answer


@pytest.fixture
async def client() -> AsyncIterator[ServiceClient]:
    client = ServiceClient("measured", "http://t", settings_for(Settings, {}), ServiceTokens(SECRET, "tests"))
    dependency = client._dependency
    yield client
    client._dependency = dependency
    await client.close()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [((200, b"{}"), "answered"), ((404, b"{}"), "answered"), ((503, b"{}"), "failed"), (None, "failed")],
)
async def test_a_call_is_measured_by_its_outcome(
    client: ServiceClient, monkeypatch: pytest.MonkeyPatch, answer: Answer | None, outcome: str
) -> None:
    monkeypatch.setattr(client, "_dependency", Answering(answer))

    def counts() -> list[float]:
        return [
            sample("feedmill_call_seconds_count", service="measured", outcome=one) for one in ("answered", "failed")
        ]

    answered, failed = counts()
    try:
        await client.get("/internal/things")
    except UnavailableError:
        assert outcome == "failed"
    except Exception:
        assert answer is not None
    assert counts() == [answered + (outcome == "answered"), failed + (outcome == "failed")]
