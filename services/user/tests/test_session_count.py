import pytest

from libs.common.core.errors import UnavailableError
from libs.common.testing.samples import sample
from services.user.domain.accounts import DeviceSession
from services.user.service import session_count
from services.user.service.session_count import SessionCount
from services.user.tests.fakes import InMemorySessionStore, SteppingClock, World

CLOCK = SteppingClock()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_count, "PAUSE_S", 0)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
async def test_all_pages_are_counted(count: int) -> None:
    world = World()
    world.sessions = {i: DeviceSession(i, 100 + i, "", CLOCK(), CLOCK()) for i in range(count)}
    world.ended, world.banned = {2}, {103}
    await SessionCount(InMemorySessionStore(world), CLOCK, page=2).poll()
    assert sample("feedmill_user_sessions") == len(set(range(count)) - {2, 3})


async def test_without_the_store_the_metric_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.sessions = {1: DeviceSession(1, 101, "", CLOCK(), CLOCK())}
    store = InMemorySessionStore(world)
    await SessionCount(store, CLOCK).poll()

    async def fail(*_: object) -> tuple[int, int | None]:
        raise UnavailableError

    monkeypatch.setattr(store, "count_usable", fail)
    await SessionCount(store, CLOCK).poll()
    assert sample("feedmill_user_sessions") == 1
