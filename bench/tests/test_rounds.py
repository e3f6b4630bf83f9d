from types import SimpleNamespace

import pytest

from bench import cpu
from bench.rounds import Round, Rounds, drive
from devstack.procfs import Identity

HUGE_SHARE = 1e12  # seconds of CPU a second: more than any round uses


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round uses more CPU than the one before it, and idle windows look as if they used far more."""
    used = iter(sum(range(n)) for n in range(1, 100))

    async def share(*_: object) -> float:
        return HUGE_SHARE

    monkeypatch.setattr(cpu, "read", lambda _: {Identity(1, "then"): next(used)})
    monkeypatch.setattr(cpu, "share", share)


async def test_no_round_has_a_negative_cost(readings: None) -> None:
    async def one() -> Round:
        return Round((0.1, 0.2, 0.3))

    measured = await Rounds(count=4).of(one)
    assert len(measured.rounds) == 4
    assert measured.count == 12
    assert all(one.cpu_ms >= 0 for one in measured.rounds)
    assert any(one.cpu_ms > 0 for one in measured.rounds)


async def test_each_act_happens_once_at_least_however_short_the_time() -> None:
    done: list[int] = []

    async def act(index: int) -> None:
        done.append(index)

    for rate in (None, 1e6):
        done.clear()
        taken = await drive([lambda index=index: act(index) for index in range(3)], seconds=0, rate=rate)  # type: ignore[misc]
        assert sorted(done) == [0, 1, 2]
        assert len(taken.times) == 3


async def test_a_time_at_a_rate_begins_when_the_request_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    async def act() -> None:
        nonlocal now
        now += 5.0

    monkeypatch.setattr("bench.rounds.time", SimpleNamespace(perf_counter=lambda: now))
    taken = await drive([act], seconds=3, rate=1)
    assert taken == Round([5.0, 9.0, 13.0], elapsed_s=0)
    assert await drive([act], seconds=12) == Round([5.0, 5.0, 5.0], elapsed_s=15)
