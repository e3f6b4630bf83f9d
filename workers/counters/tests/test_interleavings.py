"""Workers of one partition that stop between any two effects: they are killed, or only paused and replaced."""

import asyncio
import random
from collections.abc import Iterable, Mapping
from uuid import uuid4

import pytest

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.base import Event
from libs.contracts.events import (
    AuditedMember,
    CountsAudited,
    InteractionEvent,
    LikeCreated,
    LikeDeleted,
    PostCounted,
    SaveCreated,
)
from libs.contracts.public import CommentCountKind, CountKind
from workers.counters.consumers import CounterConsumers
from workers.counters.domain import CommentPlace, CountUpdate, Membership
from workers.counters.ports import LedgerPage
from workers.counters.service.counting import PostCounters
from workers.counters.tests.fakes import InMemoryLedger

POSTS, MEMBERS, EVENTS = 2, 4, 25
FAULTS, FAULTY = 8, 0.1  # the maximum number, and the probability of one before each step
AUDITS = 0.1  # the probability that only an audit reports a like
BATCH = 6  # events at most
SETTLING = 20  # turns of the loop until every worker waits at its gate again


class Partition:
    """The topic's partition, and what the workers write: ledger, cache, counts in the post service."""

    def __init__(self, rng: random.Random) -> None:
        self.ledger = InMemoryLedger()
        self.cached: dict[int, PostCounted] = {}
        self.kept: dict[tuple[int, str], tuple[int, int]] = {}
        self.committed = 0
        self.changes = [_delivery(offset, rng) for offset in range(EVENTS)]
        self.log = [self._audit(d) if rng.random() < AUDITS else d for d in self.changes]

    def _audit(self, instead_of: ReceivedEvent) -> ReceivedEvent:
        """Return an audit of a like by its record, which may be newer than the counters."""
        payload = instead_of.payload
        if not isinstance(payload, LikeCreated | LikeDeleted):
            return instead_of
        last = self._last(payload.post_id, CountKind.LIKE)[payload.actor_id]
        version, present = last.envelope.entity_version, isinstance(last.payload, LikeCreated)
        member = AuditedMember(member=payload.actor_id, present=present, version=version)
        audit = CountsAudited(post_id=payload.post_id, kind="like", members=(member,))
        event = Event(payload=audit, entity=str(uuid4()), entity_version=0)
        return ReceivedEvent(event.envelope("tests", None), audit, 0, instead_of.offset)

    def put(self, counted: PostCounted) -> None:
        """As the script in Redis does."""
        if counted.post_id not in self.cached or counted.sequence >= self.cached[counted.post_id].sequence:
            self.cached[counted.post_id] = counted

    def keep(self, counted: PostCounted) -> None:
        """As Cassandra does: of two cells of one write time the greater stays."""
        for name in ("like_count", "save_count"):
            cell = (counted.sequence, getattr(counted, name))
            self.kept[counted.post_id, name] = max(self.kept.get((counted.post_id, name), cell), cell)

    def expected(self, post_id: int, kind: CountKind) -> int:
        return sum(not isinstance(d.payload, LikeDeleted) for d in self._last(post_id, kind).values())

    def _last(self, post_id: int, kind: CountKind) -> dict[int, ReceivedEvent]:
        kinds = (SaveCreated,) if kind is CountKind.SAVE else (LikeCreated, LikeDeleted)
        last: dict[int, ReceivedEvent] = {}
        for delivery in self.changes:
            payload = delivery.payload
            if not isinstance(payload, kinds) or payload.post_id != post_id:
                continue
            known = last.get(payload.actor_id)
            if known is None or known.envelope.entity_version < delivery.envelope.entity_version:
                last[payload.actor_id] = delivery
        return last


def _delivery(offset: int, rng: random.Random) -> ReceivedEvent:
    """Versions come out of order, as the relay may send them, but no version says two things."""
    post_id, member, version = rng.randrange(POSTS), rng.randrange(MEMBERS), offset + rng.choice((0, -5))
    version = version * EVENTS + offset
    kind = rng.choice((LikeCreated, LikeDeleted, SaveCreated))
    payload: InteractionEvent = kind(post_id=post_id, author_id=9, actor_id=member)
    event = Event(payload=payload, entity=str(uuid4()), entity_version=max(0, version))
    return ReceivedEvent(event.envelope("tests", None), payload, 0, offset)


class Worker:
    """The real service; each call of a port waits at the gate, before it takes effect and after."""

    def __init__(self, partition: Partition, rng: random.Random) -> None:
        self._partition, self._rng = partition, rng
        self._gates: list[asyncio.Future[None]] = []
        self.owns = True
        consumers = CounterConsumers(PostCounters(self, self, self, epoch=0))
        self.task = asyncio.create_task(self._run(consumers))

    async def _run(self, consumers: CounterConsumers) -> None:
        position = self._partition.committed
        while position < EVENTS:
            batch = self._partition.log[position : position + self._rng.randint(1, BATCH)]
            await consumers.on_interactions(batch)
            await self._gate()
            position = batch[-1].offset + 1
            if not self.owns:
                return
            self._partition.committed = position

    async def _gate(self) -> None:
        gate = asyncio.get_running_loop().create_future()
        self._gates.append(gate)
        await gate

    def go_on(self) -> None:
        """Let a random waiting call proceed."""
        self._gates.pop(self._rng.randrange(len(self._gates))).set_result(None)

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def read(self, target_id: int, kind: CountKind | CommentCountKind, members: Iterable[int]) -> LedgerPage:
        await self._gate()
        page = await self._partition.ledger.read(target_id, kind, members)
        await self._gate()
        return page

    async def recount(self, post_id: int, kind: CountKind, members: Iterable[int]) -> LedgerPage:
        """Member by member, as the real one reads page by page."""
        every: dict[int, Membership] = {}
        for member in range(MEMBERS):
            await self._gate()
            every |= (await self._partition.ledger.read(post_id, kind, [member])).members
        await self._gate()
        return LedgerPage({m: every[m] for m in members if m in every}, sum(one.present for one in every.values()))

    async def write(self, post_id: int, kind: CountKind, update: CountUpdate, at: int) -> None:
        await self._gate()
        await self._partition.ledger.write(post_id, kind, update, at)
        await self._gate()

    async def write_likes(self, place: CommentPlace, before: int, update: CountUpdate, at: int) -> None:
        await self._gate()
        await self._partition.ledger.write_likes(place, before, update, at)
        await self._gate()

    async def totals(self, post_id: int) -> Mapping[CountKind, int]:
        found: dict[CountKind, int] = {}
        for kind in CountKind:
            await self._gate()
            found[kind] = (await self._partition.ledger.totals(post_id))[kind]
        return found

    async def put(self, counted: PostCounted) -> None:
        await self._gate()
        self._partition.put(counted)
        await self._gate()

    async def publish(self, counted: PostCounted) -> None:
        await self._gate()
        self._partition.keep(counted)
        await self._gate()


async def settled() -> None:
    for _ in range(SETTLING):
        await asyncio.sleep(0)


async def run(partition: Partition, rng: random.Random) -> None:
    """Until the partition is worked off, and every worker that was taken for dead has come to its end."""
    owner = Worker(partition, rng)
    alive, faults = [owner], FAULTS
    while alive:
        await settled()
        alive = [worker for worker in alive if not worker.task.done()]
        if faults and not owner.task.done() and rng.random() < FAULTY:
            faults -= 1
            owner.owns = False
            if rng.random() < 0.5:
                await owner.kill()
            owner = Worker(partition, rng)
            alive.append(owner)
        elif alive:
            rng.choice(alive).go_on()


@pytest.mark.parametrize("seed", range(80))
async def test_counts_are_exact_however_workers_die_and_wake(seed: int) -> None:
    rng = random.Random(seed)
    partition = Partition(rng)
    await run(partition, rng)
    assert partition.committed == EVENTS
    assert len(partition.cached) == POSTS
    for post_id in partition.cached:
        totals = await partition.ledger.totals(post_id)
        for kind, name in ((CountKind.LIKE, "like_count"), (CountKind.SAVE, "save_count")):
            expected = partition.expected(post_id, kind)
            assert totals[kind] == expected
            assert getattr(partition.cached[post_id], name) == expected
            assert partition.kept[post_id, name][1] == expected
