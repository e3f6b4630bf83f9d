import time

import pytest
from redis.asyncio import Redis

from libs.common.core.errors import UnavailableError
from libs.common.core.settings import Settings
from libs.common.testing import settings_for
from libs.invalidation import ACT_S, Acts, LastShown
from libs.invalidation.stamps import CLOCKS_APART_S

pytestmark = pytest.mark.stores

READER, AUTHOR, OTHER = 1, 2, 3


class House:
    """Shows names, until it is away; the clock is so far ahead that Redis was there before."""

    def __init__(self, acts: Acts) -> None:
        self.away, self.takes_s = False, 0.0
        self.now = time.time() + 2 * CLOCKS_APART_S
        self._shown = LastShown[str](acts.none_parted, lambda: self.now)

    async def see(self, *user_ids: int) -> dict[int, str]:
        async def ask() -> dict[int, str]:
            if self.away:
                raise UnavailableError
            self.now += self.takes_s
            return {user_id: f"name {user_id}" for user_id in user_ids if user_id != OTHER}

        return await self._shown.get(READER, user_ids, ask)


@pytest.fixture
async def acts(redis: "Redis", store_env: dict[str, str]) -> Acts:
    found = Acts(redis, settings_for(Settings, store_env))
    await found.forget()
    await redis.delete(found.parted(READER))
    await redis.delete(found.parted(AUTHOR))
    return found


async def test_what_was_shown_is_shown_while_nobody_answers(acts: Acts) -> None:
    house = House(acts)
    before = await house.see(AUTHOR)
    await acts.mark([AUTHOR, READER])  # they did something that hides nobody
    house.away = True
    assert await house.see(AUTHOR) == before
    for user_ids in ([OTHER], [AUTHOR, OTHER]):
        with pytest.raises(UnavailableError):
            await house.see(*user_ids)


async def test_nobody_parts_from_oneself(acts: Acts) -> None:
    house = House(acts)
    before = await house.see(READER)
    await acts.mark([], parted=[READER])
    house.away = True
    assert await house.see(READER) == before


@pytest.mark.parametrize("who", [READER, AUTHOR])
async def test_a_block_that_was_marked_since_ends_it(acts: Acts, who: int) -> None:
    house = House(acts)
    await house.see(AUTHOR)
    await acts.mark([], parted=[who])
    house.away = True
    with pytest.raises(UnavailableError):
        await house.see(AUTHOR)


async def test_marks_that_may_have_been_lost_end_it(acts: Acts) -> None:
    house = House(acts)
    house.now -= 2 * CLOCKS_APART_S
    await house.see(AUTHOR)
    await acts.forget()
    house.away = True
    with pytest.raises(UnavailableError):
        await house.see(AUTHOR)


async def test_it_ends_before_marks_run_out(acts: Acts) -> None:
    house = House(acts)
    begun, house.takes_s = house.now, 3.0
    await house.see(AUTHOR)
    house.away, house.now = True, begun + ACT_S
    with pytest.raises(UnavailableError):
        await house.see(AUTHOR)
