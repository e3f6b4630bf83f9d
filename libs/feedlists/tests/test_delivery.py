"""The delivery ledger on a real Redis."""

import pytest
from redis.asyncio import Redis

from libs.common.stores.redis_functions import KEYS_A_CALL
from libs.feedlists.backpressure import PublishedBackpressure
from libs.feedlists.delivery import LIFE_S, ChunkProgress, DeliveryProgress, RemovalProgress
from libs.feedlists.levels import BackpressureLevel

pytestmark = pytest.mark.stores
POST = 381_000_000_000_000_000
CHUNKS = [(0, 100), (100, 250)]


@pytest.fixture
def ledger(redis: "Redis", prefix: str) -> DeliveryProgress:
    return DeliveryProgress(redis, prefix)


async def test_what_was_never_planned_has_no_state(ledger: DeliveryProgress) -> None:
    assert await ledger.of(POST) is None


async def test_a_small_delivery_is_one_record_and_again_the_same(
    ledger: DeliveryProgress, redis: "Redis", prefix: str
) -> None:
    await ledger.delivered([(POST, 7, 5)])
    first = await ledger.of(POST)
    await ledger.delivered([(POST, 7, 5)])
    state = await ledger.of(POST)
    assert state is not None
    assert state == first
    assert (state.mode, state.followers, state.chunks, state.chunks_done, state.delivered) == ("push", 7, 1, 1, 5)
    assert state.finished_at is not None
    assert LIFE_S - 60 < await redis.ttl(f"{prefix}ledger:{POST}") <= LIFE_S


async def test_posts_that_were_delivered_at_once_are_known(ledger: DeliveryProgress) -> None:
    posts = range(POST, POST + 2 * KEYS_A_CALL + 1)
    assert await ledger.delivered_before(posts) == set()
    for _ in range(2):
        await ledger.delivered((post, 3, post - POST) for post in posts)
        assert await ledger.delivered_before([*posts, POST - 1, POST]) == set(posts)
    states = [await ledger.of(post) for post in posts]
    assert [state and state.delivered for state in states] == list(range(len(posts)))
    await ledger.died(POST)
    await ledger.planned(POST - 1, mode="push", follower_count=250, chunks=CHUNKS)
    await ledger.progressed(POST - 1, 0, after_id=100, delivered=70, done=True)
    await ledger.skipped([POST - 2])
    assert await ledger.delivered_before(range(POST - 2, POST + 2)) == {POST + 1}
    await ledger.delivered([])
    assert await ledger.delivered_before([]) == set()


async def test_chunks_are_followed_to_their_end_whatever_is_delivered_again(ledger: DeliveryProgress) -> None:
    await ledger.planned(POST, mode="slow", follower_count=15_000, chunks=CHUNKS)
    for _ in range(2):
        await ledger.progressed(POST, 0, after_id=60, delivered=40, done=False)
        state = await ledger.of(POST)
        assert state is not None
        assert (state.mode, state.chunks, state.chunks_done, state.delivered) == ("slow", 2, 0, 40)
        assert state.finished_at is None
    for _ in range(2):
        for after_id, end_id, delivered in ((0, 100, 70), (100, 250, 90)):
            await ledger.progressed(POST, after_id, after_id=end_id, delivered=delivered, done=True)
    await ledger.progressed(POST, 0, after_id=60, delivered=40, done=False)  # by a worker that lost the chunk
    state = await ledger.of(POST)
    assert state is not None
    assert (state.chunks_done, state.delivered, state.retries) == (2, 160, 0)
    assert state.finished_at is not None
    assert state.started_at <= state.finished_at


async def test_a_chunk_goes_on_where_it_was(ledger: DeliveryProgress) -> None:
    await ledger.planned(POST, mode="push", follower_count=15_000, chunks=CHUNKS)
    assert await ledger.begun(POST, 100) == ChunkProgress(100, 0, is_done=False)
    await ledger.progressed(POST, 100, after_id=180, delivered=30, done=False)
    assert await ledger.begun(POST, 100) == ChunkProgress(180, 30, is_done=False)
    await ledger.progressed(POST, 100, after_id=250, delivered=55, done=True)
    assert (await ledger.begun(POST, 100)).is_done
    state = await ledger.of(POST)
    assert state is not None
    assert state.retries == 2


async def test_a_post_planned_again_keeps_its_first_chunks(ledger: DeliveryProgress) -> None:
    for chunks in (CHUNKS, [(0, 120), (120, 260), (260, 270)]):
        assert await ledger.planned(POST, mode="push", follower_count=3, chunks=chunks) == CHUNKS


async def test_posts_that_are_pulled_or_skipped_say_so(ledger: DeliveryProgress) -> None:
    assert await ledger.planned(POST, mode="pull", follower_count=10**7) == []
    await ledger.planned(POST + 1, mode="push", follower_count=15_000, chunks=CHUNKS)
    for _ in range(2):
        await ledger.skipped([POST + 1, POST + 2])
    states = [await ledger.of(POST + n) for n in range(3)]
    assert [state and (state.mode, state.followers, state.chunks) for state in states] == [
        ("pull", 10**7, 0),
        ("skipped", 15_000, 2),
        ("skipped", 0, 0),
    ]


async def test_what_lies_in_the_dead_letters_is_counted_until_it_is_done(ledger: DeliveryProgress) -> None:
    await ledger.planned(POST, mode="push", follower_count=15_000, chunks=CHUNKS)
    await ledger.progressed(POST, 0, after_id=100, delivered=70, done=True)
    for _ in range(2):
        await ledger.died(POST, 100)
        await ledger.died(POST + 1)
    for post_id in (POST, POST + 1):
        state = await ledger.of(post_id)
        assert state is not None
        assert (state.dead_letters, state.finished_at) == (1, None)
    await ledger.progressed(POST, 100, after_id=250, delivered=90, done=True)
    await ledger.delivered([(POST + 1, 1, 1)])
    for post_id in (POST, POST + 1):
        state = await ledger.of(post_id)
        assert state is not None
        assert state.dead_letters == 0
        assert state.finished_at is not None


async def test_deletes_have_a_ledger_of_their_own_and_remember_whose_post_it_was(
    ledger: DeliveryProgress, redis: "Redis", prefix: str
) -> None:
    removals = RemovalProgress(redis, prefix)
    await ledger.delivered([(POST, 7, 5)])
    assert await removals.known([POST, POST + 1]) == set()
    for _ in range(2):
        await removals.note(POST, 3)
        await removals.note(POST + 2, 3)
        assert await removals.of(POST + 2) is None
        assert await removals.known([POST, POST + 1]) == {POST}
        await removals.delivered([(POST, 8, 6)])
    assert [await removals.author(post_id) for post_id in (POST, POST + 1)] == [3, None]
    states = await removals.of(POST), await ledger.of(POST)
    assert [state and (state.mode, state.followers, state.delivered) for state in states] == [
        ("push", 8, 6),
        ("push", 7, 5),
    ]
    await removals.died(POST + 1)
    assert await removals.known([POST, POST + 1]) == {POST, POST + 1}


async def test_the_level_is_one_for_all_and_passes_away(redis: "Redis", prefix: str) -> None:
    level = PublishedBackpressure(redis, prefix)
    assert await level.read() is None
    await level.publish(BackpressureLevel.ACTIVE_ONLY)
    assert await PublishedBackpressure(redis, prefix).read() == 2
    assert 0 < await redis.ttl(f"{prefix}level") <= 30
