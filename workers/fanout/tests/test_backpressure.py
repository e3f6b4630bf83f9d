import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.feedlists import BackpressureLevel
from libs.telemetry.catalog import BY_NAME
from workers.fanout.domain import Thresholds, next_level
from workers.fanout.service.backpressure import Backpressure
from workers.fanout.tests.world import LATEST, InMemoryGaps, InMemoryPulls

THRESHOLDS = Thresholds(100_000, 500_000, 1_000_000, 100_000)
levels = st.sampled_from(BackpressureLevel)
lags = st.integers(0, 1_500_000)
bounds = st.lists(st.integers(1, 1_000), min_size=3, max_size=3, unique=True).map(sorted)
thresholds = bounds.flatmap(lambda three: st.builds(Thresholds, *map(st.just, three), st.integers(1, three[2])))


@pytest.mark.parametrize(
    ("level", "lag", "expected"),
    [
        (0, 100_000, 0),
        (0, 100_001, 1),
        (0, 500_001, 2),
        (0, 1_000_001, 3),
        (1, 50_000, 1),
        (1, 49_999, 0),
        (2, 250_000, 2),
        (2, 249_999, 1),
        (2, 0, 1),
        (3, 100_000, 3),
        (3, 99_999, 2),
    ],
)
def test_levels_rise_at_once_and_fall_one_by_one(level: int, lag: int, expected: int) -> None:
    assert next_level(BackpressureLevel(level), lag, THRESHOLDS) == expected


@given(levels, levels, lags, lags)
def test_more_lag_or_a_higher_level_never_leads_lower(
    one: BackpressureLevel, other: BackpressureLevel, lag: int, more: int
) -> None:
    low, high = sorted((one, other))
    assert next_level(low, min(lag, more), THRESHOLDS) <= next_level(high, max(lag, more), THRESHOLDS)


@given(levels, st.integers(0, 1_100), thresholds)
def test_a_lag_that_stays_leads_to_a_level_that_stays(
    level: BackpressureLevel, lag: int, thresholds: Thresholds
) -> None:
    seen = [level]
    while (following := next_level(seen[-1], lag, thresholds)) != seen[-1]:
        seen.append(following)
        assert len(seen) <= len(BackpressureLevel)
    assert seen[1:] == sorted(seen[1:], reverse=True)


@given(levels.filter(bool), thresholds, st.lists(st.floats(0.5, 1), max_size=20))
def test_a_lag_that_moves_about_within_half_a_threshold_does_not_flap(
    level: BackpressureLevel, thresholds: Thresholds, parts: list[float]
) -> None:
    threshold = (thresholds.level1, thresholds.level2, thresholds.level3)[level - 1]
    floor = thresholds.resume if level == BackpressureLevel.PULL else 0
    for part in parts:
        assert next_level(level, max(floor, int(threshold * part + 0.5)), thresholds) == level


@pytest.mark.parametrize("wrong", [(2, 1, 3, 1), (1, 2, 2, 1), (1, 2, 3, 4), (0, 1, 2, 1), (1, 2, 3, 0)])
def test_thresholds_that_do_not_rise_are_refused(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="rise"):
        Thresholds(*wrong)


class Lag:
    value = 0

    async def total(self) -> int:
        return self.value


class Board:
    level: BackpressureLevel | None = None

    async def read(self) -> BackpressureLevel | None:
        return self.level

    async def publish(self, level: BackpressureLevel) -> None:
        self.level = level


async def test_the_level_is_shared_outlives_a_worker_and_closes_the_gap_when_pushing_begins_again() -> None:
    lag, board, gaps = Lag(), Board(), InMemoryGaps()
    first, second = (Backpressure(lag, board, gaps, InMemoryPulls(), THRESHOLDS) for _ in range(2))
    lag.value = 1_000_001
    await first.update()
    lag.value = 150_000
    for worker in (second, first, second):
        await gaps.extend([7])
        await worker.update()
        assert (worker.level, board.level, gaps.closed) == (BackpressureLevel.PULL, 3, [])
    lag.value = 99_999
    await second.update()
    assert (second.level, gaps.closed, gaps.open) == (BackpressureLevel.ACTIVE_ONLY, [{7}], set())
    await gaps.extend([8])  # the first worker did not look yet
    await first.update()
    assert (first.level, gaps.closed) == (BackpressureLevel.BEHIND, [{7}, {8}])


async def test_when_nobody_published_a_level_a_worker_goes_on_from_its_own() -> None:
    lag, board = Lag(), Board()
    load = Backpressure(lag, board, InMemoryGaps(), InMemoryPulls(), THRESHOLDS)
    lag.value = 600_000
    await load.update()
    board.level = None
    lag.value = 300_000
    await load.update()
    assert load.level == BackpressureLevel.ACTIVE_ONLY


async def test_a_worker_without_kafka_takes_over_what_others_publish() -> None:
    class Silent(Lag):
        async def total(self) -> int:
            raise TimeoutError

    board = Board()
    load = Backpressure(Silent(), board, InMemoryGaps(), InMemoryPulls(), THRESHOLDS)
    for published, level in (
        (BackpressureLevel.PULL,) * 2,
        (BackpressureLevel.NORMAL,) * 2,
        (None, BackpressureLevel.NORMAL),
    ):
        board.level = published
        with pytest.raises(TimeoutError):
            await load.update()
        assert load.level == level


async def test_what_a_server_may_have_lost_with_its_place_is_a_gap_and_nothing_kept_is_relied_on() -> None:
    gaps, pulls = InMemoryGaps(), InMemoryPulls()
    load = Backpressure(Lag(), Board(), gaps, pulls, THRESHOLDS)
    await load.update()
    assert (gaps.closed, pulls.forgotten) == ([], 0)
    gaps.server = 2
    for _ in range(2):
        await load.update()
        assert (gaps.closed, gaps.open, pulls.forgotten) == ([LATEST], set(), 1)


def test_the_levels_of_the_catalog_are_those_of_the_backpressure() -> None:
    declared = BY_NAME["feedmill_fanout_skipped_total"].labels["level"]
    assert set(declared) == {str(int(level)) for level in BackpressureLevel}
