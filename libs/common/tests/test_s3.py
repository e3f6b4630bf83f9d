"""The bucket while its server is busy, or does not answer."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
import structlog
from aiohttp import web

from libs.common.core.errors import UnavailableError
from libs.common.core.policies import OBJECTS
from libs.common.core.settings import Settings
from libs.common.stores import s3
from libs.common.stores.s3 import S3ObjectStore, open_s3
from libs.common.testing import settings_for
from libs.common.testing.eventually import eventually

pytestmark = pytest.mark.stores  # it opens sockets


@dataclass
class Server:
    """Answers each request with the next status, then always with the last one."""

    statuses: list[int] = field(default_factory=lambda: [200])
    requests: int = 0

    async def answer(self, _: web.Request) -> web.Response:
        self.requests += 1
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status)


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def bucket(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3ObjectStore]:
    monkeypatch.setattr(s3, "OBJECTS", replace(OBJECTS, backoff_s=0.01))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = settings_for(
        Settings,
        {},
        object_store_url="s3://feedmill",
        s3_endpoint=f"http://127.0.0.1:{runner.addresses[0][1]}",
        s3_access_key_id="key",
        s3_secret_access_key="secret",
    )
    async with open_s3(settings) as opened:
        yield opened
    await runner.cleanup()


def test_all_tries_take_thirty_seconds_at_most() -> None:
    waits = sum(OBJECTS.backoff_s * OBJECTS.growth**n for n in range(OBJECTS.retries))
    assert OBJECTS.retries == 3
    assert OBJECTS.backoff_s == 1
    assert (1 + OBJECTS.retries) * OBJECTS.timeout_s + waits <= 30


@pytest.mark.parametrize("status", [500, 503])
async def test_a_busy_server_is_asked_again(bucket: S3ObjectStore, server: Server, status: int) -> None:
    server.statuses = [status, status, status, 200]
    await bucket.delete("some/key")
    assert server.requests == 4


async def test_it_is_asked_four_times_at_most(bucket: S3ObjectStore, server: Server) -> None:
    server.statuses = [503]
    with pytest.raises(UnavailableError):
        await bucket.delete("some/key")
    assert server.requests == 4


async def test_a_refused_key_is_not_tried_again(bucket: S3ObjectStore, server: Server) -> None:
    server.statuses = [403]
    with structlog.testing.capture_logs() as logged, pytest.raises(UnavailableError) as refused:
        await bucket.delete("some/key")
    assert server.requests == 1
    assert "FEEDMILL" not in refused.value.detail  # clients read it
    assert [one["setting"] for one in logged] == ["FEEDMILL_S3_ACCESS_KEY_ID, FEEDMILL_S3_SECRET_ACCESS_KEY"]


async def test_a_server_that_fails_is_left_alone_until_it_answers(bucket: S3ObjectStore, server: Server) -> None:
    server.statuses = [503]

    async def refused() -> bool:
        asked = server.requests
        with pytest.raises(UnavailableError):
            await bucket.delete("some/key")
        return server.requests == asked

    await eventually(refused)
    server.statuses = [200]

    async def works() -> bool:
        try:
            await bucket.delete("some/key")
        except UnavailableError:
            return False
        return True

    await eventually(works)
