"""Marks of a reader come from memory, and are right after each change."""

from collections.abc import AsyncIterator, Sequence
from itertools import count

import pytest
from pydantic import SecretStr

from libs.common.core.ids import first_id_at, now_ms
from libs.common.core.settings import Settings
from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.invalidation import Invalidation, InvalidationStamps
from services.interaction.domain import Mark, MarkKind
from services.interaction.stores.cached import MARKS_A_USER, CachedMarks
from services.interaction.tests.fakes import ANN, InMemoryMarks

pytestmark = pytest.mark.stores
OLD, NEW = 100, first_id_at(now_ms())


class World:
    """The marks of one user, as two processes read them."""

    def __init__(self, stamps: InvalidationStamps) -> None:
        self.store, self.stamps = InMemoryMarks(), stamps
        self._versions = count(1)
        self.processes = [CachedMarks(self.store, stamps) for _ in range(2)]

    async def like(self, post_id: int, *, active: bool = True) -> None:
        await self.store.put(Mark(ANN, MarkKind.LIKE, post_id, 1, next(self._versions), active), [])
        await self.stamps.write(Invalidation(active=[ANN]))

    async def liked(self, process: int, *post_ids: int) -> set[int]:
        found = await self.processes[process].active(ANN, post_ids)
        return {post_id for _, post_id in found}


@pytest.fixture
async def world(store_env: dict[str, str]) -> AsyncIterator[World]:
    settings = settings_for(Settings, store_env)
    async with open_redis(settings) as redis:
        yield World(InvalidationStamps(redis, settings))


async def test_pages_of_one_reader_read_the_marks_once(world: World) -> None:
    await world.like(NEW)
    for post_ids in ([NEW, NEW + 1], [NEW + 2], [NEW]):
        assert await world.liked(0, *post_ids) == {NEW} & set(post_ids)
    assert world.store.asked == ["since"]


async def test_a_change_shows_at_once_in_every_process(world: World) -> None:
    for active in (True, False):
        for process in (0, 1):
            await world.liked(process, NEW)
        await world.like(NEW, active=active)
        for process in (0, 1):
            assert await world.liked(process, NEW) == ({NEW} if active else set())


async def test_a_change_whose_stamp_was_lost_shows_in_the_process_that_made_it(world: World) -> None:
    assert await world.liked(0, NEW) == set()
    await world.store.put(Mark(ANN, MarkKind.LIKE, NEW, 1, 1, active=True), [])
    world.processes[0].forget(ANN)
    assert await world.liked(0, NEW) == {NEW}


async def test_older_posts_are_looked_up(world: World) -> None:
    await world.like(OLD)
    assert await world.liked(0, OLD, NEW) == {OLD}
    assert world.store.asked == ["since", "active"]


async def test_many_marks_are_not_cached(world: World) -> None:
    post_ids: Sequence[int] = range(NEW, NEW + MARKS_A_USER + 1)
    for post_id in post_ids:
        world.store.rows[ANN, MarkKind.SAVE, post_id] = Mark(ANN, MarkKind.SAVE, post_id, 1, 1, active=True)
    for _ in range(2):
        assert await world.liked(0, *post_ids) == set(post_ids)
    assert world.store.asked == ["since", "active", "active"]


async def test_without_redis_posts_are_looked_up(store_env: dict[str, str]) -> None:
    away = settings_for(Settings, store_env).model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1")})
    async with open_redis(away) as redis:
        world = World(InvalidationStamps(redis, away))
        await world.store.put(Mark(ANN, MarkKind.LIKE, NEW, 1, 1, active=True), [])
        assert await world.liked(0, NEW) == {NEW}
    assert world.store.asked == ["active"]
