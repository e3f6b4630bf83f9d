import time

import pytest
from redis.asyncio import Redis

from libs.common.core.errors import UnavailableError
from libs.common.core.settings import Settings
from libs.common.testing import settings_for
from libs.common.testing.samples import sample
from libs.invalidation import STAMP_S, Invalidation, InvalidationStamps, StaleIfErrorCache
from libs.invalidation.stamps import CLOCK_SKEW_S

pytestmark = pytest.mark.stores

READER, AUTHOR, OTHER = 1, 2, 3


class CachedNames:
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
    names = CachedNames(stamps)
    before = await names.see(AUTHOR)
    await stamps.write(Invalidation(active=[AUTHOR, READER]))  # they did something that hides nobody
    names.away = True
    assert await names.see(AUTHOR) == before
    for user_ids in ([OTHER], [AUTHOR, OTHER]):
        with pytest.raises(UnavailableError):
            await names.see(*user_ids)


async def test_entries_that_were_looked_up_are_counted(stamps: InvalidationStamps) -> None:
    def reads() -> list[float]:
        return [sample("feedmill_cache_reads_total", cache="stale_if_error", outcome=one) for one in ("hit", "miss")]

    names = CachedNames(stamps)
    hits, misses = reads()
    await names.see(AUTHOR)
    names.away = True
    assert reads() == [hits, misses]
    await names.see(AUTHOR)
    with pytest.raises(UnavailableError):
        await names.see(AUTHOR, OTHER)
    assert reads() == [hits + 1, misses + 2]


async def test_nobody_parts_from_oneself(stamps: InvalidationStamps) -> None:
    names = CachedNames(stamps)
    before = await names.see(READER)
    await stamps.write(Invalidation(visibility=[READER]))
    names.away = True
    assert await names.see(READER) == before


@pytest.mark.parametrize("who", [READER, AUTHOR])
async def test_a_block_that_was_marked_since_ends_it(stamps: InvalidationStamps, who: int) -> None:
    names = CachedNames(stamps)
    await names.see(AUTHOR)
    await stamps.write(Invalidation(visibility=[who]))
    names.away = True
    with pytest.raises(UnavailableError):
        await names.see(AUTHOR)


async def test_marks_that_may_have_been_lost_end_it(stamps: InvalidationStamps) -> None:
    names = CachedNames(stamps)
    names.now -= 2 * CLOCK_SKEW_S
    await names.see(AUTHOR)
    await stamps.bump_generation()
    names.away = True
    with pytest.raises(UnavailableError):
        await names.see(AUTHOR)


async def test_it_ends_before_marks_run_out(stamps: InvalidationStamps) -> None:
    names = CachedNames(stamps)
    begun, names.takes_s = names.now, 3.0
    await names.see(AUTHOR)
    names.away, names.now = True, begun + STAMP_S
    with pytest.raises(UnavailableError):
        await names.see(AUTHOR)
