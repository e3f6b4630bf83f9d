"""Pages say how far behind fan-out is."""

import orjson
import pytest

from libs.common.core.errors import UnavailableError
from services.feed.domain.feed import DeliveryPace, Order
from services.feed.ports import CachedPage
from services.feed.service.backpressure import BackpressureMonitor
from services.feed.tests.world import World

READER, AUTHOR = 1, 2


class Board:
    level: int | None = None
    is_down = False

    async def read(self) -> int | None:
        if self.is_down:
            raise UnavailableError
        return self.level


async def test_the_pace_follows_the_published_level_and_is_unknown_without_one() -> None:
    board = Board()
    pressure = BackpressureMonitor(board)
    assert pressure.pace is DeliveryPace.UNKNOWN
    for board.level, pace in enumerate(
        (DeliveryPace.NORMAL, DeliveryPace.BEHIND, DeliveryPace.ACTIVE_ONLY, DeliveryPace.PULL)
    ):
        await pressure.poll()
        assert pressure.pace is pace
    board.is_down = True
    await pressure.poll()
    assert pressure.pace is DeliveryPace.UNKNOWN


@pytest.mark.parametrize("order", Order)
async def test_a_page_says_it_of_the_moment_at_which_it_is_served_also_when_it_was_kept(order: Order) -> None:
    world = World()
    world.graph.follows[READER] = {AUTHOR}
    await world.post(AUTHOR)
    made = await world.reader.page(READER, order, 20, None)
    world.cache.kept = CachedPage(made.body, 7)
    for pace in DeliveryPace:
        world.load.pace = pace
        coverage = {"complete": pace is DeliveryPace.NORMAL, "gaps": [], "delivery": pace}
        kept = await world.reader.page(READER, order, 20, None)
        assert orjson.loads(kept.body) == {
            **orjson.loads(made.body),
            "cached": True,
            "cache_age_seconds": 7,
            "coverage": coverage,
        }
        fresh = await world.reader.page(READER, order, 20, None, fresh=True)
        assert orjson.loads(fresh.body)["coverage"] == coverage
        assert (kept.quality, fresh.quality) == ("normal", "normal")
