"""The ledger on a real Cassandra, the counts on a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from devstack.settings import ROOT
from libs.common.stores.cassandra import Cassandra, cassandra_migrations
from libs.common.stores.migrations import migrate
from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.contracts.events import PostCounted
from libs.contracts.public import CommentCountKind, CountKind
from workers.counters.domain import CommentPlace, CountUpdate, Membership, MembershipChange, apply_changes, write_time
from workers.counters.ports import LedgerPage
from workers.counters.settings import CountersSettings
from workers.counters.stores.cassandra import CassandraMembershipLedger
from workers.counters.stores.redis import RedisCountsCache

pytestmark = pytest.mark.stores
LIKE = CountKind.LIKE
LIKED = "SELECT like_count FROM comments_by_likes WHERE post_id = %s AND parent_id = 0"


@pytest.fixture(scope="session")
async def ledger(store_env: dict[str, str]) -> AsyncIterator[CassandraMembershipLedger]:
    settings = settings_for(CountersSettings, store_env)
    keyspace = settings.keyspace("interaction")
    await migrate(cassandra_migrations(settings, keyspace), ROOT / "services" / "interaction" / "migrations")
    async with Cassandra(settings, keyspace) as cassandra:
        yield await CassandraMembershipLedger(cassandra).prepare()


@pytest.fixture
def post_id() -> int:
    return uuid4().int >> 66


async def apply(ledger: CassandraMembershipLedger, post_id: int, changes: list[MembershipChange], offset: int) -> None:
    page = await ledger.read(post_id, LIKE, {change.member for change in changes})
    await ledger.write(post_id, LIKE, apply_changes(page.members, page.total, changes), write_time(0, offset))


async def like(
    ledger: CassandraMembershipLedger, place: CommentPlace, changes: list[MembershipChange], offset: int
) -> None:
    page = await ledger.read(place.comment_id, CommentCountKind.LIKE, {change.member for change in changes})
    await ledger.write_likes(place, page.total, apply_changes(page.members, page.total, changes), write_time(0, offset))


async def test_a_liked_comment_has_one_place_by_its_likes(ledger: CassandraMembershipLedger, post_id: int) -> None:
    place = CommentPlace(post_id, 0, post_id + 1)
    steps = [
        [MembershipChange(1, True, 1), MembershipChange(2, True, 2)],
        [MembershipChange(1, False, 3), MembershipChange(3, True, 4)],
        [MembershipChange(3, False, 5)],
        [MembershipChange(2, False, 6)],
    ]
    for offset, (changes, expected) in enumerate(zip(steps, ([2], [2], [1], []), strict=True)):
        for _ in range(2):
            await like(ledger, place, changes, offset)
        rows = await ledger._cassandra.execute(LIKED, (post_id,))
        assert [row.like_count for row in rows] == expected
        assert (await ledger.read(place.comment_id, CommentCountKind.LIKE, [1])).total == sum(expected)


async def test_a_topic_delivered_again_from_the_start_counts_the_same(
    ledger: CassandraMembershipLedger, post_id: int
) -> None:
    steps = [[MembershipChange(i % 7, i % 3 != 0, i) for i in range(start, start + 10)] for start in range(0, 60, 10)]
    for _ in range(2):
        for i, changes in enumerate(steps):
            await apply(ledger, post_id, changes, i)
    final = {change.member: change.present for changes in steps for change in changes}
    assert (await ledger.totals(post_id))[LIKE] == sum(final.values())


async def test_a_late_write_of_a_zombie_loses(ledger: CassandraMembershipLedger, post_id: int) -> None:
    await apply(ledger, post_id, [MembershipChange(1, True, 1)], 0)
    stale = await ledger.read(post_id, LIKE, [2])
    await apply(ledger, post_id, [MembershipChange(2, True, 2), MembershipChange(3, True, 3)], 2)
    await apply(ledger, post_id, [MembershipChange(2, False, 4)], 3)
    await ledger.write(post_id, LIKE, CountUpdate({2: Membership(True, 2)}, stale.total + 1), write_time(0, 1))
    page = await ledger.read(post_id, LIKE, [1, 2, 3])
    assert page.total == 2
    assert page.members == {1: Membership(True, 1), 2: Membership(False, 4), 3: Membership(True, 3)}


async def test_a_read_is_of_one_moment(ledger: CassandraMembershipLedger, post_id: int) -> None:
    """Though another worker writes meanwhile: the total that is read counts just the members that are read."""
    members = range(100)

    async def write() -> None:
        for i in members:
            await ledger.write(post_id, LIKE, CountUpdate({i: Membership(True, i)}, i + 1), write_time(0, i))

    writing = asyncio.create_task(write())
    while not writing.done():
        page = await ledger.read(post_id, LIKE, members)
        assert page.total == len(page.members)
    await writing


async def test_a_recount_takes_the_total_from_all_members(ledger: CassandraMembershipLedger, post_id: int) -> None:
    members = {member: Membership(member % 3 > 0, member) for member in range(2_500)}
    for start in range(0, 2_500, 500):
        some = {member: members[member] for member in range(start, start + 500)}
        await ledger.write(post_id, LIKE, CountUpdate(some, 7), write_time(0, start))
    present = sum(one.present for one in members.values())
    page = await ledger.recount(post_id, LIKE, [0, 2_499, 2_500])
    assert page == LedgerPage({0: members[0], 2_499: members[2_499]}, present)
    assert (await ledger.read(post_id, LIKE, [0])).total == 7


async def test_what_nobody_touched_counts_nothing(ledger: CassandraMembershipLedger, post_id: int) -> None:
    assert set((await ledger.totals(post_id)).values()) == {0}


async def test_cached_counts_never_go_back(store_env: dict[str, str], post_id: int) -> None:
    settings = settings_for(CountersSettings, store_env)
    async with open_redis(settings) as redis:
        cache = RedisCountsCache(redis, "counters-test:")
        for sequence, likes in ((9, 1), (10, 2), (9, 3), (10, 4), (2**53 + 1, 5), (2**53, 6)):
            counts = {"like_count": likes, "comment_count": 0, "save_count": 0, "view_count": 0}
            await cache.put(PostCounted(post_id=post_id, sequence=sequence, **counts))
        assert await redis.getdel(f"counters-test:counts:{post_id}") == b"%d 5 0 0 0" % (2**53 + 1)
