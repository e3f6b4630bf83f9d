import asyncio
from collections.abc import Mapping, Sequence

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from libs.common.core.errors import UnavailableError
from libs.common.core.settings import Settings
from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.common.testing.samples import sample
from libs.invalidation import FRESH_S, Invalidation, InvalidationStamps, Recent, RecentPosts
from libs.invalidation.recent import REFRESH_S

pytestmark = pytest.mark.stores

ANN, BOB = 1, 2


class Records:
    """The post service, and processes that cache what it answers."""

    def __init__(self, redis: "Redis", stamps: InvalidationStamps) -> None:
        self.posts: dict[int, list[int]] = {ANN: [12, 11]}
        self.asked: list[Sequence[int]] = []
        self.away = False
        self.now_s = 1_000_000.0
        self.answering = asyncio.Event()
        self.answering.set()
        self.stamps = stamps
        self._processes = [RecentPosts(redis, stamps, lambda: self.now_s) for _ in range(4)]

    async def ask(self, author_ids: Sequence[int]) -> Mapping[int, Sequence[int]]:
        self.asked.append(author_ids)
        found = {a: list(self.posts[a]) for a in author_ids if a in self.posts}
        await self.answering.wait()
        if self.away:
            raise UnavailableError
        return found

    async def read(self, process: int = 0, *author_ids: int) -> Recent:
        return await self._processes[process % 4].get(author_ids or (ANN, BOB), self.ask)

    async def post(self, post_id: int) -> None:
        self.posts[ANN].insert(0, post_id)
        await self.stamps.write(Invalidation(active=[ANN], posted=[(ANN, post_id)]))


@pytest.fixture
async def records(redis: "Redis", store_env: dict[str, str]) -> Records:
    stamps = InvalidationStamps(redis, settings_for(Settings, store_env))
    await stamps.bump_generation()
    await redis.delete(*(f"{stamps.recent(user)}{end}" for user in (ANN, BOB) for end in ("", ":lease", ":posted")))
    return Records(redis, stamps)


async def test_the_records_are_asked_once_for_all_processes(records: Records) -> None:
    for process in range(4):
        assert await records.read(process) == Recent({ANN: [12, 11]})
    assert records.asked == [[ANN, BOB]], "an author without posts is known, too"


async def test_lists_that_were_looked_up_are_counted(records: Records) -> None:
    def reads() -> list[float]:
        return [sample("feedmill_cache_reads_total", cache="recent_posts", outcome=one) for one in ("hit", "miss")]

    hits, misses = reads()
    await records.read()
    assert reads() == [hits, misses + 2]
    await records.read(1)
    assert reads() == [hits + 2, misses + 2]


async def test_fifty_readers_at_once_ask_once(records: Records) -> None:
    found = await asyncio.gather(*map(records.read, range(50)))
    assert found == [Recent({ANN: [12, 11]})] * 50
    assert records.asked == [[ANN, BOB]]


async def test_a_new_post_is_seen_at_once(records: Records) -> None:
    await records.read()
    await records.post(13)
    assert (await records.read(1)).by_author[ANN] == [13, 12, 11]
    assert records.asked[1:] == [[ANN]]
    await records.stamps.forget_recent([(ANN, 13)])
    await records.read(2)
    assert len(records.asked) == 2, "the same event again drops nothing"


async def test_an_answer_from_before_a_new_post_is_not_stored(records: Records) -> None:
    records.answering.clear()
    early = asyncio.create_task(records.read())
    while not records.asked:
        await asyncio.sleep(0)
    await records.post(13)
    records.answering.set()
    assert (await early).by_author[ANN] == [12, 11]
    assert (await records.read(1)).by_author[ANN] == [13, 12, 11]


async def test_a_list_is_not_stored_before_it_has_the_post_of_the_last_event(records: Records) -> None:
    await records.stamps.write(Invalidation(active=[ANN], posted=[(ANN, 13)]))
    assert (await records.read()).by_author[ANN] == [12, 11]  # Cassandra does not show the post yet
    records.posts[ANN].insert(0, 13)
    assert (await records.read(1)).by_author[ANN] == [13, 12, 11]
    await records.read(2)
    assert len(records.asked) == 2


async def test_a_refresh_from_before_a_new_post_is_not_stored(records: Records) -> None:
    await records.read()
    records.now_s += REFRESH_S + 1
    records.answering.clear()
    early = asyncio.create_task(records.read(0, ANN))
    while len(records.asked) < 2:
        await asyncio.sleep(0)
    await records.post(13)
    records.answering.set()
    await early
    assert (await records.read(1)).by_author[ANN] == [13, 12, 11]


async def test_a_reader_that_died_delays_others_only_briefly(records: Records, redis: "Redis") -> None:
    await redis.set(records.stamps.recent_lease(ANN), "of a dead process")
    assert (await records.read()).by_author == {ANN: [12, 11]}
    await redis.delete(records.stamps.recent_lease(ANN))


async def test_one_reader_renews_an_aging_list_while_others_use_it(records: Records) -> None:
    await records.read()
    records.now_s += REFRESH_S + 1
    records.answering.clear()
    renewing = asyncio.create_task(records.read())
    while len(records.asked) < 2:
        await asyncio.sleep(0)
    assert await asyncio.gather(*map(records.read, range(50))) == [Recent({ANN: [12, 11]})] * 50
    records.answering.set()
    await renewing
    await asyncio.gather(*map(records.read, range(50)))
    assert len(records.asked) == 2


async def test_without_the_post_service_old_lists_are_used(records: Records) -> None:
    await records.read()
    records.now_s += FRESH_S + 1
    records.away = True
    assert await records.read() == Recent({ANN: [12, 11]}, stale=True)
    await records.stamps.bump_generation()
    assert await records.read() == Recent({}, stale=True), "what an earlier Redis had may lack posts"


async def test_without_redis_the_post_service_is_asked(records: Records, store_env: dict[str, str]) -> None:
    away = settings_for(Settings, store_env).model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1")})
    async with open_redis(away) as redis:
        recent = RecentPosts(redis, InvalidationStamps(redis, away))
        assert await recent.get([ANN], records.ask) == Recent({ANN: [12, 11]})
        records.away = True
        with pytest.raises(UnavailableError):
            await recent.get([ANN], records.ask)
