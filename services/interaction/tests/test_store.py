"""Marks, comments and counts on a real Cassandra and a real Redis."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from libs.common.core.ids import MAX_ID
from libs.common.stores.cassandra import Cassandra
from libs.common.stores.cassandra_outbox import CassandraOutbox
from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.contracts.public import Counts
from services.interaction.__main__ import APPLICATION
from services.interaction.domain import (
    FIRST_POSITION,
    NO_PARENT,
    POST_MARKS,
    CountWithMember,
    Mark,
    MarkKind,
    StoredComment,
    from_top_position,
)
from services.interaction.settings import InteractionSettings
from services.interaction.stores.cassandra import CassandraComments, CassandraLedgerReader, CassandraMarks
from services.interaction.stores.redis import CachedLedger

pytestmark = pytest.mark.stores
LIKE = MarkKind.LIKE
LEDGER = "INSERT INTO ledger (post_id, kind, member, present, version, total) VALUES (?, ?, ?, ?, ?, ?)"

LIKED = "INSERT INTO comments_by_likes (post_id, parent_id, like_count, comment_id) VALUES (?, ?, ?, ?)"


@pytest.fixture(scope="session")
async def cassandra(store_env: dict[str, str]) -> AsyncIterator[Cassandra]:
    settings = settings_for(InteractionSettings, store_env)
    await APPLICATION.migrate(settings)
    async with Cassandra(settings, settings.keyspace("interaction")) as cassandra:
        yield cassandra


@pytest.fixture
async def outbox(cassandra: Cassandra) -> CassandraOutbox:
    return await CassandraOutbox(cassandra).prepare()


@pytest.fixture
async def redis(store_env: dict[str, str]) -> AsyncIterator["Redis"]:
    async with open_redis(settings_for(InteractionSettings, store_env)) as redis:
        yield redis


@pytest.fixture
def post_id() -> int:
    return uuid4().int >> 66


async def test_of_two_writes_of_a_mark_the_higher_version_stays(
    cassandra: Cassandra, outbox: CassandraOutbox, post_id: int
) -> None:
    marks = await CassandraMarks(cassandra, outbox).prepare()
    later = Mark(5, LIKE, post_id, 20, 30, active=False)
    await marks.put(later, [])
    await marks.put(Mark(5, LIKE, post_id, 20, 20, active=True), [])
    assert await marks.get(5, LIKE, post_id) == later
    assert await marks.active(5, POST_MARKS, [post_id]) == set()
    assert await marks.list(post_id, LIKE, MAX_ID, 10) == []  # the earlier write's row stands for nothing


async def test_marks_since_a_post_include_removed_ones(
    cassandra: Cassandra, outbox: CassandraOutbox, post_id: int
) -> None:
    marks = await CassandraMarks(cassandra, outbox).prepare()
    user_id = post_id
    for kind, target_id, active in ((LIKE, 4, True), (LIKE, 5, True), (LIKE, 6, False), (MarkKind.SAVE, 7, True)):
        await marks.put(Mark(user_id, kind, target_id, 20, 20, active), [])
    found = await marks.since(user_id, POST_MARKS, 5, 10)
    assert set(found) == {(LIKE, 5, True), (LIKE, 6, False), (MarkKind.SAVE, 7, True)}
    assert len(await marks.since(user_id, POST_MARKS, 5, 2)) == 2


async def test_marks_are_listed_newest_first_page_by_page(
    cassandra: Cassandra, outbox: CassandraOutbox, post_id: int
) -> None:
    marks = await CassandraMarks(cassandra, outbox).prepare()
    for user in range(1, 8):
        await marks.put(Mark(user, LIKE, post_id, user * 10, user * 10, active=True), [])
    await marks.put(Mark(6, LIKE, post_id, 60, 61, active=False), [])
    assert await marks.list(post_id, LIKE, MAX_ID, 3) == [(70, 7), (50, 5), (40, 4)]
    assert await marks.list(post_id, LIKE, 40, 10) == [(30, 3), (20, 2), (10, 1)]
    assert await marks.active(7, POST_MARKS, [post_id, 5]) == {(LIKE, post_id)}


async def test_comments(cassandra: Cassandra, outbox: CassandraOutbox, post_id: int) -> None:
    comments = await CassandraComments(cassandra, outbox).prepare()
    base = post_id & ~0xFF
    written = [StoredComment(base + i, post_id, NO_PARENT, 5, f"text {i}") for i in range(4)]
    for comment in (*written, written[0]):
        await comments.add(comment, [])
    await comments.delete([written[1]], [])
    assert await comments.list(post_id, NO_PARENT, 0, 2) == [written[0], written[2]]
    assert await comments.list(post_id, NO_PARENT, written[2].comment_id, 9) == [written[3]]
    deleted = await comments.get(written[1].comment_id)
    assert deleted is not None
    assert (deleted.deleted, deleted.text) == (True, "")
    assert await comments.get(1) is None


async def test_liked_comments_are_listed_by_likes_page_by_page(
    cassandra: Cassandra, outbox: CassandraOutbox, post_id: int
) -> None:
    comments, ledger = (
        await CassandraComments(cassandra, outbox).prepare(),
        await CassandraLedgerReader(cassandra).prepare(),
    )
    base = post_id & ~0xFF
    written = [StoredComment(base + i, post_id, NO_PARENT, 5, f"text {i}") for i in range(5)]
    likes = [2, 0, 9, 2, 4]
    place, total = await cassandra.prepare(LIKED, "like"), await cassandra.prepare(LEDGER, "count")
    for comment, count in zip(written, likes, strict=True):
        await comments.add(comment, [])
        if count:
            await cassandra.execute(place, (post_id, NO_PARENT, count, comment.comment_id))
            await cassandra.execute(total, (comment.comment_id, MarkKind.COMMENT_LIKE, 1, True, 1, count))
    await comments.delete([written[4]], [])
    start = from_top_position(FIRST_POSITION)
    assert await comments.list_liked(post_id, NO_PARENT, start, 2) == [(9, written[2]), (2, written[3])]
    assert await comments.list_liked(post_id, NO_PARENT, (2, written[3].comment_id), 2) == [(2, written[0])]
    assert await comments.list_liked(post_id, 1, start, 2) == []
    ids = [comment.comment_id for comment in written]
    assert await ledger.comment_likes(ids) == dict(zip(ids, likes, strict=True))


async def test_a_deleted_comment_that_is_added_again_stays_deleted(
    cassandra: Cassandra, outbox: CassandraOutbox, post_id: int
) -> None:
    comments = await CassandraComments(cassandra, outbox).prepare()
    comment = StoredComment(post_id, post_id, NO_PARENT, 5, "text")
    await comments.add(comment, [])
    await comments.delete([comment], [])
    await comments.add(comment, [])
    deleted = await comments.get(comment.comment_id)
    assert deleted is not None
    assert (deleted.deleted, deleted.text) == (True, "")
    assert not await cassandra.execute(
        "SELECT * FROM comments_by_post WHERE post_id = %s AND parent_id = 0", (post_id,)
    )


async def test_rows_that_stand_for_no_comment_end_no_list(
    cassandra: Cassandra, outbox: CassandraOutbox, post_id: int
) -> None:
    comments = await CassandraComments(cassandra, outbox).prepare()
    enlist = await cassandra.prepare(
        "INSERT INTO comments_by_post (post_id, parent_id, comment_id) VALUES (?, 0, ?)", "enlist"
    )
    base = post_id & ~0xFF
    for comment_id in range(base, base + 5):
        await cassandra.execute(enlist, (post_id, comment_id))
    written = [StoredComment(base + 5 + i, post_id, NO_PARENT, 5, "text") for i in range(3)]
    for comment in written:
        await comments.add(comment, [])
    assert await comments.list(post_id, NO_PARENT, 0, 2) == written[:2]
    assert await comments.list(post_id, NO_PARENT, written[1].comment_id, 2) == written[2:]


async def test_the_ledger_knows_totals_and_members(cassandra: Cassandra, outbox: CassandraOutbox, post_id: int) -> None:
    ledger = await CassandraLedgerReader(cassandra).prepare()
    insert = await cassandra.prepare(LEDGER, "count")
    assert await ledger.counted(post_id, LIKE, 5) == CountWithMember(0, has_member=False)
    await cassandra.execute(insert, (post_id, "like", 5, True, 1, 1))
    await cassandra.execute(insert, (post_id, "comment", 9, True, 1, 3))
    assert await ledger.counted(post_id, LIKE, 5) == CountWithMember(1, has_member=True)
    assert await ledger.counted(post_id, LIKE, 6) == CountWithMember(1, has_member=False)
    untouched = [post_id + i for i in range(1, 25)]
    counts = await ledger.counts([post_id, *untouched])
    assert counts[post_id] == Counts(like_count=1, comment_count=3)
    assert all(counts[p] == Counts() for p in untouched)


async def test_a_cold_cache_is_filled_and_gives_way_to_the_counters(
    cassandra: Cassandra, outbox: CassandraOutbox, redis: "Redis", post_id: int
) -> None:
    prefix = "interaction-test:"
    cached = CachedLedger(await CassandraLedgerReader(cassandra).prepare(), redis, prefix)
    assert await cached.counts([post_id]) == {post_id: Counts()}
    assert await redis.get(f"{prefix}counts:{post_id}") == b"0 0 0 0 0"
    await redis.set(f"{prefix}counts:{post_id}", "7 4 3 2 1", ex=60)
    shown = await cached.counts([post_id])
    assert shown[post_id] == Counts(like_count=4, comment_count=3, save_count=2, view_count=1)
