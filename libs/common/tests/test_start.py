"""A deployable that starts while its stores are unavailable: it is live, not ready, answers 503, and tries again."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import ValidationError

from libs.common.core.errors import UnavailableError
from libs.common.core.settings import Settings, faults
from libs.common.testing import settings_for
from libs.common.testing.eventually import eventually
from libs.common.web import start
from libs.common.web.app import create_app
from libs.common.web.runtime import Runtime

router = APIRouter()


@router.get("/v1/things")
async def things() -> str:
    return "here"


class Store:
    """Refuses to be opened until it is available. It counts what is open."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self.tried = self.open = 0

    async def compose(self, runtime: Runtime[Settings]) -> None:
        await runtime.stack.enter_async_context(self._connection())
        self.tried += 1
        if self.error:
            raise self.error
        runtime.check_migrated({"things/0001_a.sql"})

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[None]:
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    async def tried_again(self) -> None:
        before = self.tried

        async def again() -> bool:
            return self.tried > before + 1

        await eventually(again)


def app_of(store: Store, *migrations: str) -> FastAPI:
    return create_app("things", settings_for(Settings, {}), store.compose, [router], migrations=migrations)


@asynccontextmanager
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
        yield http


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "AGAIN_S", 0.001)


async def test_it_waits_for_a_store_and_then_serves() -> None:
    store = Store(UnavailableError("The store does not respond."))
    async with client(app_of(store)) as http:
        await store.tried_again()
        statuses = [(await http.get(path)).status_code for path in ("/health/live", "/health/ready", "/v1/things")]
        assert statuses == [200, 503, 503]
        store.error = None

        async def serves() -> bool:
            return bool((await http.get("/v1/things")).json() == "here")

        await eventually(serves)
        assert (await http.get("/health/ready")).status_code == 200
        assert store.open == 1, "each attempt that failed has closed what it opened"
    assert store.open == 0


async def test_it_stops_while_it_waits() -> None:
    store = Store(UnavailableError())
    async with client(app_of(store)):
        await store.tried_again()
    assert store.open == 0


async def test_it_waits_for_a_migration() -> None:
    store = Store(UnavailableError())
    store.error = None
    async with client(app_of(store, "things/0001_a.sql", "things/0002_b.sql")) as http:
        await store.tried_again()
        assert (await http.get("/health/ready")).status_code == 503
    async with client(app_of(store, "things/0001_a.sql")) as http:
        assert (await http.get("/health/ready")).status_code == 200


async def test_another_error_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="a bug"):
        async with client(app_of(Store(ValueError("a bug")))):
            pass
    signals = list[int]()
    monkeypatch.setattr(signal, "raise_signal", signals.append)
    store = Store(UnavailableError())

    async def stopped() -> bool:
        return signals == [signal.SIGTERM]

    async with client(app_of(store)):
        await store.tried_again()
        store.error = ValueError("a bug")
        await eventually(stopped)


def test_a_wrong_setting_is_one_line_without_its_value() -> None:
    with pytest.raises(ValidationError) as missing:
        settings_for(Settings, {}, max_in_flight="secret", timeout_factor=0)
    assert faults(missing.value) == [
        "FEEDMILL_TIMEOUT_FACTOR: Input should be greater than 0",
        "FEEDMILL_MAX_IN_FLIGHT: Input should be a valid integer, unable to parse string as an integer",
    ]
