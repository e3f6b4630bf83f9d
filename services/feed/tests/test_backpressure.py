"""Pages report how far behind fan-out is."""

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
    monitor = BackpressureMonitor(board)
    assert monitor.pace is DeliveryPace.UNKNOWN
    for board.level, pace in enumerate(
        (DeliveryPace.NORMAL, DeliveryPace.BEHIND, DeliveryPace.ACTIVE_ONLY, DeliveryPace.PULL)
    ):
        await monitor.poll()
        assert monitor.pace is pace
    board.is_down = True
    await monitor.poll()
    assert monitor.pace is DeliveryPace.UNKNOWN


@pytest.mark.parametrize("order", Order)
async def test_new_and_cached_pages_report_the_present_pace(order: Order) -> None:
    world = World()
    world.graph.follows[READER] = {AUTHOR}
    await world.post(AUTHOR)
    made = await world.reader.page(READER, order, 20, None)
    world.cache.page = CachedPage(made.body, 7)
    for pace in DeliveryPace:
        world.delivery.pace = pace
        coverage = {"complete": pace is DeliveryPace.NORMAL, "gaps": [], "delivery": pace}
        cached = await world.reader.page(READER, order, 20, None)
        assert orjson.loads(cached.body) == {
            **orjson.loads(made.body),
            "cached": True,
            "cache_age_seconds": 7,
            "coverage": coverage,
        }
        fresh = await world.reader.page(READER, order, 20, None, fresh=True)
        assert orjson.loads(fresh.body)["coverage"] == coverage
        assert (cached.quality, fresh.quality) == ("normal", "normal")
