import time

import pytest
from redis.asyncio import Redis

from libs.common.core.errors import UnavailableError
from libs.common.core.settings import Settings
from libs.common.testing import settings_for
from libs.invalidation import STAMP_S, InvalidationStamps, StaleIfErrorCache
from libs.invalidation.stamps import CLOCK_SKEW_S

pytestmark = pytest.mark.stores

READER, AUTHOR, OTHER = 1, 2, 3


class House:
    """Shows names until `away`. Its clock is ahead, so that the start of Redis is in the past."""

    def __init__(self, stamps: InvalidationStamps) -> None:
        self.away, self.takes_s = False, 0.0
        self.now = time.time() + 2 * CLOCK_SKEW_S
        self._shown = StaleIfErrorCache[str](stamps.visibility_unchanged, lambda: self.now)

    async def see(self, *user_ids: int) -> dict[int, str]:
        async def ask() -> dict[int, str]:
            if self.away:
                raise UnavailableError
            self.now += self.takes_s
            return {user_id: f"name {user_id}" for user_id in user_ids if user_id != OTHER}

        return await self._shown.get(READER, user_ids, ask)


@pytest.fixture
async def stamps(redis: "Redis", store_env: dict[str, str]) -> InvalidationStamps:
    found = InvalidationStamps(redis, settings_for(Settings, store_env))
    await found.bump_generation()
    await redis.delete(found.visibility(READER))
    await redis.delete(found.visibility(AUTHOR))
    return found


async def test_what_was_shown_is_shown_while_nobody_answers(stamps: InvalidationStamps) -> None:
    house = House(stamps)
    before = await house.see(AUTHOR)
    await stamps.write([AUTHOR, READER])  # they did something that hides nobody
    house.away = True
    assert await house.see(AUTHOR) == before
    for user_ids in ([OTHER], [AUTHOR, OTHER]):
        with pytest.raises(UnavailableError):
            await house.see(*user_ids)


async def test_nobody_parts_from_oneself(stamps: InvalidationStamps) -> None:
    house = House(stamps)
    before = await house.see(READER)
    await stamps.write([], visibility=[READER])
    house.away = True
    assert await house.see(READER) == before


@pytest.mark.parametrize("who", [READER, AUTHOR])
async def test_a_block_that_was_marked_since_ends_it(stamps: InvalidationStamps, who: int) -> None:
    house = House(stamps)
    await house.see(AUTHOR)
    await stamps.write([], visibility=[who])
    house.away = True
    with pytest.raises(UnavailableError):
        await house.see(AUTHOR)


async def test_marks_that_may_have_been_lost_end_it(stamps: InvalidationStamps) -> None:
    house = House(stamps)
    house.now -= 2 * CLOCK_SKEW_S
    await house.see(AUTHOR)
    await stamps.bump_generation()
    house.away = True
    with pytest.raises(UnavailableError):
        await house.see(AUTHOR)


async def test_it_ends_before_marks_run_out(stamps: InvalidationStamps) -> None:
    house = House(stamps)
    begun, house.takes_s = house.now, 3.0
    await house.see(AUTHOR)
    house.away, house.now = True, begun + STAMP_S
    with pytest.raises(UnavailableError):
        await house.see(AUTHOR)
