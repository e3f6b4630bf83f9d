from collections.abc import AsyncIterator, Collection
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from libs.common.core.errors import UnavailableError
from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.common.testing.samples import sample
from services.feed.service import active
from services.feed.service.active import ActiveReaders
from services.feed.settings import FeedSettings
from services.feed.stores.active_readers import READERS_A_CALL, RedisReadersLog

HOUR_S = 3_600
START_S = 1_700_000_000 // HOUR_S * HOUR_S


class InMemoryReadersLog:
    def __init__(self) -> None:
        self.readers = set[int]()
        self.down = False

    async def add(self, user_ids: Collection[int]) -> dict[str, int]:
        if self.down:
            raise UnavailableError
        self.readers |= set(user_ids)
        return {"5m": len(self.readers), "24h": len(self.readers)}


def shown() -> list[float]:
    return [sample("feedmill_feed_active_readers", window=window) for window in ("5m", "24h")]


async def test_readers_wait_while_redis_is_down() -> None:
    log = InMemoryReadersLog()
    readers = ActiveReaders(log)
    for user_id in (1, 2, 2):
        readers.note(user_id)
    await readers.poll()
    assert shown() == [2, 2]
    log.down = True
    readers.note(3)
    await readers.poll()
    assert shown() == [2, 2]
    log.down = False
    readers.note(4)
    await readers.poll()
    assert shown() == [4, 4]


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active, "READERS_MAX", 10)
    log = InMemoryReadersLog()
    readers = ActiveReaders(log)
    for user_id in range(30):
        readers.note(user_id)
    await readers.poll()
    assert log.readers == set(range(10))


async def test_memory_is_bounded_while_redis_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active, "READERS_MAX", 10)
    sizes = list[int]()

    class Down(InMemoryReadersLog):
        async def add(self, user_ids: Collection[int]) -> dict[str, int]:
            sizes.append(len(user_ids))
            for user_id in range(100 * len(sizes), 100 * len(sizes) + 10):  # readers who come during the call
                readers.note(user_id)
            raise UnavailableError

    readers = ActiveReaders(Down())
    for _ in range(4):
        await readers.poll()
    assert sizes == [0, 10, 10, 10]


class Clock:
    now_s = float(START_S)


@pytest.fixture
async def redis(store_env: dict[str, str]) -> AsyncIterator["Redis"]:
    async with open_redis(settings_for(FeedSettings, store_env)) as client:
        yield client


@pytest.mark.stores
async def test_windows_end_and_processes_count_together(redis: "Redis") -> None:
    prefix, clock = f"t{uuid4().hex}:", Clock()
    one, other = (RedisReadersLog(redis, prefix, lambda: clock.now_s) for _ in range(2))
    try:
        assert await one.add([]) == {"5m": 0, "24h": 0}
        await one.add([1, 2])
        assert await other.add([2, 3]) == {"5m": 3, "24h": 3}
        for later_s, expected in ((359, (3, 3)), (360, (0, 3)), (25 * HOUR_S - 1, (0, 3)), (25 * HOUR_S, (0, 0))):
            clock.now_s = START_S + later_s
            assert tuple((await one.add([])).values()) == expected
    finally:
        await redis.delete(*await redis.keys(f"{prefix}*"), "unused")


@pytest.mark.stores
async def test_many_readers_are_estimated_and_their_keys_expire(redis: "Redis") -> None:
    prefix, count = f"t{uuid4().hex}:", 5 * READERS_A_CALL + 1
    log = RedisReadersLog(redis, prefix)
    try:
        found = await log.add(range(count))
        assert found["5m"] == found["24h"] == pytest.approx(count, rel=0.05)
        lives = [await redis.ttl(key) for key in await redis.keys(f"{prefix}*")]
        assert len(lives) == 2
        assert all(0 < life <= 26 * HOUR_S for life in lives)
    finally:
        await redis.delete(*await redis.keys(f"{prefix}*"), "unused")
