"""The oracle finds each kind of fault that can be planted, and none where there is none."""

from collections.abc import AsyncIterator, Sequence
from unittest.mock import AsyncMock, patch

import pytest

from libs.common.core.ids import MAX_ID
from libs.common.core.settings import Settings
from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.contracts.public import PostRecord
from libs.feedlists import BackpressureLevel
from libs.invalidation import InvalidationStamps
from ops.judge import Fault
from ops.oracle import SLOWEST_MS, Oracle
from services.feed.domain.cursor import ChronologicalCursor
from services.feed.domain.feed import Candidates, Source
from tests.property.asked import Asked
from tests.property.owners import PEOPLE
from tests.property.system import System

pytestmark = pytest.mark.stores
READER, AUTHOR, STRANGER = 1, 2, 3


@pytest.fixture
async def system(store_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[System]:
    """A reader with a list, nine posts in it, one of them deleted, and a stranger's post elsewhere."""
    monkeypatch.setattr("services.feed.service.sources.REBUILD_S", 60)  # of real time
    settings = settings_for(Settings, store_env)
    async with open_redis(settings) as redis:
        system = System(redis, settings)
        await system.follow(READER, AUTHOR)
        await census(system)
        for _ in range(9):
            await system.post(AUTHOR)
        await system.post(STRANGER)
        await system.delete(min(system.owners.posts))
        await system.settle()
        yield system
        await system.lose_redis()


async def census(system: System) -> set[Fault]:
    """Return the kinds of fault that the oracle finds in all feeds, in both orders."""
    asked = Asked(system)
    oracle = Oracle(asked, asked, grace_s=0, fresh=True, clock_ms=lambda: system.now_ms)
    verdicts = [verdict for reader_id in PEOPLE for verdict in await oracle.check(reader_id)]
    assert all(verdict.complete for verdict in verdicts)
    return {one.fault for verdict in verdicts for one in verdict.findings}


async def test_no_fault_no_finding(system: System) -> None:
    assert await census(system) == set()


async def test_an_entry_that_fell_out_of_a_list_is_missing(system: System) -> None:
    await system.lists.remove(READER, [max(system.owners.eligible(READER))])
    assert await census(system) == {Fault.MISSING}


async def test_a_push_that_was_lost_is_missing(system: System) -> None:
    await system.post(AUTHOR)
    system.waiting_posts.clear()
    assert await census(system) == set(), "it may still be under way"
    system.now_ms += SLOWEST_MS
    assert await census(system) == {Fault.MISSING}


async def test_a_chunk_that_was_lost_is_missing(system: System) -> None:
    for follower in set(PEOPLE) - {AUTHOR}:
        await system.follow(follower, AUTHOR)
    await system.settle()
    await system.post(AUTHOR)
    await system.deliver(("post", 0))
    system.queue.chunks.clear()
    assert await census(system) == set(), "it may still be under way"
    system.now_ms += SLOWEST_MS
    assert await census(system) == {Fault.MISSING}


@pytest.mark.parametrize("forgets", [True, False])
async def test_a_list_built_after_a_push_has_the_post_even_if_its_stamps_were_lost(
    system: System, *, forgets: bool
) -> None:
    await system.redis.delete(system.lists.key(READER))
    assert await census(system) == set()  # a new list, from newest posts that are now cached
    with patch.object(InvalidationStamps, "write"):  # Redis did not answer the post service
        await system.post(AUTHOR)
    await system.redis.delete(system.lists.key(READER))
    with patch.object(
        InvalidationStamps, "forget_recent", InvalidationStamps.forget_recent if forgets else AsyncMock()
    ):
        await system.settle()
    assert await census(system) == (set() if forgets else {Fault.MISSING})


async def test_a_post_that_was_skipped_without_a_gap_is_missing(system: System) -> None:
    await system.post(AUTHOR)
    await system.press(BackpressureLevel.PULL)
    with patch.object(system.gaps, "parse", return_value=[]):
        await system.settle()
        assert await census(system) == {Fault.MISSING}
    assert await census(system) == set()


async def test_a_deleted_post_that_is_shown_is_extra(system: System) -> None:
    async def all_records(post_ids: Sequence[int]) -> dict[int, PostRecord]:
        return {p: system.owners.posts[p] for p in post_ids if p in system.owners.posts}

    await system.lists.merge(READER, system.owners.deleted, finish=False)
    with patch.object(system.owners, "records", all_records):
        assert Fault.EXTRA in await census(system)


async def test_a_strangers_post_is_leaked(system: System) -> None:
    await system.lists.merge(READER, system.owners.posts, finish=False)
    assert await census(system) == set()
    with patch("services.feed.service.paginator.source_of", return_value=Source.PUSHED):
        assert Fault.LEAKED in await census(system)


async def test_a_cursor_that_stays_behind_repeats(system: System) -> None:
    with patch(
        "services.feed.service.paginator.ChronologicalCursor",
        lambda session_id, bound: ChronologicalCursor(session_id, min(bound + 1, MAX_ID)),
    ):
        assert Fault.REPEATED in await census(system)


async def test_candidates_out_of_order_are_found(system: System) -> None:
    def shuffled(found: Candidates) -> list[int]:
        post_ids = sorted(found.sources, reverse=True)
        return [*post_ids[1::-1], *post_ids[2:]]

    with patch.object(Candidates, "post_ids", property(shuffled)):
        assert Fault.MISORDERED in await census(system)
