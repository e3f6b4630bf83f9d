import time
from collections.abc import Iterable

import pytest
from prometheus_client import REGISTRY

from libs.common.core.errors import UnavailableError
from libs.common.core.ids import first_id_at, now_ms
from libs.contracts.internal.feed import FeedPageCoverage, FeedPagePost, FeedPageView, FeedReason
from libs.telemetry.catalog import BY_NAME
from ops.canary import Canary
from ops.judge import Fault
from ops.oracle import GRACE_S, ORDERS, Oracle
from ops.records import Followees

READER, AUTHOR = 1, 2
OLD = first_id_at(now_ms() - 2 * GRACE_S * 1_000)


class House:
    """Owners and feeds of one reader, two posts a page; `shown` is what the feed holds, `reason` why not more."""

    def __init__(self) -> None:
        self.posted = [OLD + 3, OLD + 2, OLD + 1]
        self.shown = list(self.posted)
        self.complete, self.away, self.turns_back = True, False, False
        self.reason = "lost"

    async def followees(self, reader_id: int) -> Followees:
        return Followees(frozenset({AUTHOR}), frozenset())

    async def posts(self, author_ids: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(self.posted, AUTHOR)

    async def published(self, post_ids: Iterable[int]) -> set[int]:
        return set(post_ids) & set(self.posted)

    async def readers(self) -> list[int]:
        if self.away:
            raise UnavailableError("the feed service does not answer")
        return [READER]

    async def page(self, reader_id: int, order: str, cursor: str | None, *, fresh: bool) -> FeedPageView:
        start = int(cursor or 0)
        end = 0 if self.turns_back else start + 2
        return FeedPageView(
            posts=[FeedPagePost(post_id=post_id) for post_id in self.shown[start : start + 2]],
            next_cursor=str(end) if end < len(self.shown) else None,
            coverage=FeedPageCoverage(complete=self.complete),
        )

    async def explain(self, reader_id: int, post_id: int) -> FeedReason:
        return FeedReason(reason=self.reason)


@pytest.fixture
def house() -> House:
    return House()


async def sampled(house: House) -> dict[str, float]:
    """Return by how much one sample raised each counter of the canary."""
    before = counts()
    await Canary(Oracle(house, house), readers=2).sample()
    return {name: raised for name, value in counts().items() if (raised := value - before[name])}


def counts() -> dict[str, float]:
    outcomes = {o: ("feedmill_oracle_feeds_total", {"outcome": o}) for o in ("clean", "faulty", "skipped")}
    faults = {f: ("feedmill_oracle_faults_total", {"fault": f}) for f in map(str, Fault)}
    return {name: REGISTRY.get_sample_value(*sample) or 0 for name, sample in {**outcomes, **faults}.items()}


async def test_right_feeds_are_clean(house: House) -> None:
    started = time.time()
    assert await sampled(house) == {"clean": len(ORDERS)}
    assert (REGISTRY.get_sample_value("feedmill_oracle_last_clean_time_seconds") or 0) >= started


async def test_what_is_lost_is_counted(house: House) -> None:
    del house.shown[1]
    assert await sampled(house) == {"faulty": len(ORDERS), "missing": len(ORDERS)}


@pytest.mark.parametrize("reason", ["being_delivered", "not_taken_in"])
async def test_what_is_on_its_way_is_not_lost(house: House, reason: str) -> None:
    del house.shown[1]
    house.reason = reason
    assert await sampled(house) == {"clean": len(ORDERS)}


async def test_what_is_young_is_not_lost(house: House) -> None:
    house.posted.insert(0, first_id_at(now_ms()))
    assert await sampled(house) == {"clean": len(ORDERS)}


async def test_a_feed_that_says_that_it_lacks_some_is_not_blamed_for_it(house: House) -> None:
    house.complete = False
    del house.shown[1]
    assert await sampled(house) == {"skipped": len(ORDERS)}
    house.shown.append(house.shown[0])
    assert await sampled(house) == {"faulty": 2, "repeated": 2, "misordered": 1}


async def test_a_feed_that_leads_in_circles_ends(house: House) -> None:
    house.turns_back = True
    assert await sampled(house) == {"faulty": 2, "missing": 2, "repeated": 4, "misordered": 1}


async def test_a_service_that_is_away_is_no_fault(house: House) -> None:
    house.away = True
    assert await sampled(house) == {"skipped": 1}
    with pytest.raises(UnavailableError):
        await Canary(Oracle(house, house), readers=2).ready()


def test_the_faults_of_the_catalog_are_those_of_the_oracle() -> None:
    assert set(BY_NAME["feedmill_oracle_faults_total"].labels["fault"]) == set(Fault)
