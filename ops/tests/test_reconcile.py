from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from libs.common.core.errors import UnavailableError
from libs.contracts.public import Counts
from libs.telemetry.catalog import BY_NAME
from ops.canary import CountsCanary
from ops.counts import PostCounts, UserCounts
from ops.reconcile import Drift, Place, Reconciler

USER, POST, OTHER_POST = 1, 10, 11
RIGHT = Counts(like_count=2, comment_count=1)
WRONG = Counts(like_count=3, comment_count=1)


class House:
    """A user with one post. A correction repairs only the places in `mendable`."""

    def __init__(self) -> None:
        self.user_counts = UserCounts((1, 2, 1), (1, 2, 1), frozenset({POST}))
        self.post = PostCounts(POST, RIGHT, RIGHT, RIGHT, RIGHT, differing=0)
        self.events_behind, self.mendable, self.away = 0, True, False
        self.looks = 0
        self.arrives: Callable[[], None] = lambda: None

    async def user_ids(self, after_id: int, limit: int = 10) -> list[int]:
        if self.away:
            raise UnavailableError("the user service does not answer")
        return [USER] if after_id < USER else []

    async def user(self, user_id: int) -> UserCounts:
        self.looks += 1
        if self.looks == 2:
            self.arrives()
        return self.user_counts

    async def published(self, author_id: int, known: frozenset[int]) -> set[int]:
        return {POST}

    async def posts(self, post_ids: Sequence[int]) -> list[PostCounts]:
        return [self.post]

    async def mend_user(self, user_id: int, there: Sequence[int], gone: Sequence[int]) -> None:
        if self.mendable:
            recorded = self.user_counts.recorded
            self.user_counts = UserCounts(recorded, recorded, (self.user_counts.post_ids | set(there)) - set(gone))

    async def mend_posts(self, post_ids: Sequence[int]) -> None:
        if self.mendable:
            self.post = PostCounts(POST, RIGHT, RIGHT, RIGHT, RIGHT, differing=0)

    async def lag(self) -> int:
        return self.events_behind


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def reconciler(house: House, monkeypatch: pytest.MonkeyPatch) -> Reconciler:
    monkeypatch.setattr("ops.reconcile.LOOK_AGAIN_S", 0)
    return Reconciler(house, settle_s=0)


def told(place: Place) -> float:
    return REGISTRY.get_sample_value("feedmill_reconcile_drift_total", {"place": place}) or 0


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (Place.LEDGER, {"counted": WRONG, "cached": WRONG, "kept": WRONG}),
        (Place.LEDGER, {"differing": 2}),
        (Place.CACHE, {"cached": WRONG}),
        (Place.POST, {"kept": WRONG}),
    ],
)
async def test_wrong_counts_of_a_post_are_found_and_mended(
    house: House, reconciler: Reconciler, place: Place, wrong: dict[str, Any]
) -> None:
    house.post = replace(house.post, **wrong)
    before = told(place)
    drifts = await reconciler.check([USER])
    assert [(one.place, one.entity_id) for one in drifts] == [(place, POST)]
    assert told(place) == before + 1
    assert await reconciler.mend(drifts) == []
    assert await reconciler.check([USER]) == []


@pytest.mark.parametrize(
    ("place", "counted", "post_ids"),
    [
        (Place.USER, (1, 5, 1), {POST}),
        (Place.AUTHORED, (1, 2, 1), set()),
        (Place.AUTHORED, (1, 2, 1), {POST, OTHER_POST}),
    ],
)
async def test_wrong_counts_of_a_user_are_found_and_mended(
    house: House, reconciler: Reconciler, place: Place, counted: tuple[int, ...], post_ids: set[int]
) -> None:
    house.user_counts = replace(house.user_counts, counted=counted, post_ids=frozenset(post_ids))
    drifts = await reconciler.check([USER])
    assert [one.place for one in drifts] == [place]
    assert await reconciler.mend(drifts) == []


async def test_what_arrives_between_two_looks_is_no_drift(house: House, reconciler: Reconciler) -> None:
    right = house.post

    def arrive() -> None:
        house.post = right

    house.post, house.arrives = replace(right, counted=WRONG), arrive
    assert await reconciler.check([USER]) == []


async def test_what_is_on_its_way_is_no_drift(house: House, reconciler: Reconciler) -> None:
    house.post, house.events_behind = replace(house.post, counted=WRONG), 1
    assert await reconciler.check([USER]) == []


async def test_what_cannot_be_mended_is_named(house: House, reconciler: Reconciler) -> None:
    house.post, house.mendable = replace(house.post, kept=WRONG), False
    drift = Drift(Place.POST, USER, POST, str(RIGHT), str(WRONG))
    assert await reconciler.mend(await reconciler.check([USER])) == [drift]


async def test_the_canary_goes_round_mends_and_outlives_those_it_asks(house: House, reconciler: Reconciler) -> None:
    canary = CountsCanary(house, reconciler, users=1)
    house.away = True
    await canary.sample()
    house.away, house.post = False, replace(house.post, cached=WRONG)
    await canary.sample()
    assert house.post.cached == RIGHT
    house.post = replace(house.post, cached=WRONG)
    for _ in range(2):  # to the end, and from the beginning again
        await canary.sample()
    assert house.post.cached == RIGHT


def test_the_places_of_the_catalog_are_those_of_the_reconciliation() -> None:
    assert set(BY_NAME["feedmill_reconcile_drift_total"].labels["place"]) == set(Place)
