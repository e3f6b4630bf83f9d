import pytest

from libs.common.core.errors import UnavailableError
from libs.contracts.events import PostCounted
from libs.contracts.public import CommentCountKind, CountKind
from libs.telemetry.catalog import BY_NAME
from workers.counters.domain import CountUpdate, Membership, MembershipChange
from workers.counters.service.counting import PostCounters
from workers.counters.tests.fakes import InMemoryLedger

POST = 5
ACTS = [
    (CountKind.LIKE, MembershipChange(1, True, 10)),
    (CountKind.LIKE, MembershipChange(2, True, 11)),
    (CountKind.COMMENT, MembershipChange(7, True, 1)),
]


class InMemoryCounts:
    def __init__(self) -> None:
        self.told: list[PostCounted] = []
        self.down = False

    async def put(self, counted: PostCounted) -> None:
        self.told.append(counted)

    async def publish(self, counted: PostCounted) -> None:
        if self.down:
            raise UnavailableError
        self.told.append(counted)


def like_count(topic: InMemoryCounts) -> int:
    return topic.told[-1].like_count


async def test_everything_delivered_again_counts_the_same() -> None:
    topic = InMemoryCounts()
    counters = PostCounters(InMemoryLedger(), InMemoryCounts(), topic, epoch=0)
    for _ in range(3):
        await counters.apply(POST, ACTS, last_offset=2)
    assert (like_count(topic), topic.told[-1].comment_count) == (2, 1)
    assert len({counted.sequence for counted in topic.told}) == 1


async def test_a_crash_after_the_ledger_is_healed_by_redelivery() -> None:
    ledger, topic, cache = InMemoryLedger(), InMemoryCounts(), InMemoryCounts()
    counters = PostCounters(ledger, cache, topic, epoch=0)
    topic.down = True
    with pytest.raises(UnavailableError):
        await counters.apply(POST, ACTS, last_offset=2)
    topic.down = False
    await counters.apply(POST, ACTS, last_offset=2)
    assert like_count(topic) == like_count(cache) == 2


async def test_a_zombie_that_writes_late_changes_nothing() -> None:
    ledger, topic = InMemoryLedger(), InMemoryCounts()
    counters = PostCounters(ledger, InMemoryCounts(), topic, epoch=0)
    stale = await ledger.read(POST, CountKind.LIKE, [1])
    await counters.apply(POST, [*ACTS, (CountKind.LIKE, MembershipChange(3, True, 12))], last_offset=3)
    await ledger.write(POST, CountKind.LIKE, CountUpdate({1: Membership(True, 10)}, stale.total + 1), at=2)
    await counters.apply(POST, [], last_offset=4)
    assert like_count(topic) == 3


def test_the_kinds_of_the_catalog_are_those_of_the_counts() -> None:
    kinds = BY_NAME["feedmill_counters_memberships_total"].labels["kind"]
    assert set(kinds) == {*CountKind, *CommentCountKind}
