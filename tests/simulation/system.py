"""Publishing and fan-out as they are, over stores and a broker in memory, in processes that fail as a seed draws it."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import orjson
import structlog
from aiokafka import TopicPartition

from libs.common.core.settings import Settings
from libs.common.kafka.consumer import ConsumerRunner, GatheringRunner, Handler
from libs.common.kafka.consumer import ReceivedEvent as EventDelivery
from libs.common.kafka.outbox import Outbox
from libs.common.kafka.producer import EventProducer
from libs.common.testing import settings_for
from libs.contracts.base import Event
from libs.contracts.events import PostCreated, PostDeleted
from libs.contracts.internal.user import AudienceRecord
from libs.contracts.records import EventRecord, encode
from libs.feedlists import PushResult, Range, RemovalResult
from tests.simulation.broker import Broker, Process
from tests.simulation.loop import SimulatedLoop
from workers.fanout.clients import KafkaChunkQueue
from workers.fanout.consumers import FanoutConsumers
from workers.fanout.service.fanout import Fanout, FeedRemover, FeedWriter, Ledgers
from workers.fanout.tests.world import FixedBackpressure, InMemoryGaps, InMemoryLedger, InMemoryPulls, InMemoryRemovals

FOLLOWERS = {1: range(10, 13), 2: range(10, 20), 3: range(12, 30)}
"""By author: pushed at once, in chunks, and in the slow lane."""
FICKLE = {1: range(40, 44), 2: range(40, 48), 3: range(30, 34)}
"""By author: people who follow and unfollow all the time, so that the lanes and ranges of the author change."""
CHUNK, SLOW_LANE_FROM, PAGE = 4, 15, 2
MAX_IDS = 6  # so that most batches ask twice for the followers of an author
POSTS = 6
MISHAPS = 8
PAUSE_S = 4.0  # at most: longer than a rebalance waits
SETTLE_S = 300.0  # virtual; what has not come to rest by then never will
ZOMBIE_S = PAUSE_S + 4  # the last paused process has finished its work by then


class Graph:
    """The follow graph. Each answer has other fickle followers."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def audiences(self, author_ids: Collection[int], followers_up_to: int) -> Mapping[int, AudienceRecord]:
        await self._process.step()
        found = {}
        for author_id in sorted(author_ids):
            ids = _followers(author_id)
            few = ids if len(ids) <= followers_up_to else None
            found[author_id] = AudienceRecord(user_id=author_id, follower_count=len(ids), mode="push", followers=few)
        return found

    async def follower_ranges(self, author_id: int, size: int) -> Sequence[Range]:
        await self._process.step()
        ids = _followers(author_id)
        ends = [*ids[size - 1 :: size], ids[-1]]
        return [one for one in zip([0, *ends], ends, strict=False) if one[0] < one[1]]

    async def followers(self, author_id: int, within: Range) -> AsyncIterator[Sequence[int]]:
        after, up_to = within
        while ids := [user for user in _followers(author_id) if after < user <= up_to][:PAGE]:
            await self._process.step()
            yield ids
            after = ids[-1]


def _followers(author_id: int) -> list[int]:
    fickle = FICKLE[author_id]
    return sorted([*FOLLOWERS[author_id], *random.sample(fickle, random.randint(0, len(fickle)))])


class Lists:
    """A list of posts for every reader."""

    def __init__(self) -> None:
        self.held: dict[int, list[int]] = defaultdict(list)

    async def deliver(
        self, user_ids: Iterable[int], post_ids: Sequence[int], *, active_only: bool = False
    ) -> PushResult:
        wanted = [(user, post) for user in user_ids for post in post_ids]
        new = [(user, post) for user, post in wanted if self.is_new(user, post)]
        for user, post in new:
            self.held[user].append(post)
        return PushResult(len(new), len(wanted) - len(new), 0)

    async def deliver_each(
        self, posts: Sequence[tuple[int, Iterable[int]]], *, active_only: bool = False
    ) -> Sequence[PushResult]:
        return [await self.deliver(users, [post]) for post, users in posts]

    def is_new(self, user_id: int, post_id: int) -> bool:
        return post_id not in self.held[user_id]

    async def withdraw(self, user_ids: Iterable[int], post_id: int) -> RemovalResult:
        users = list(user_ids)
        taken = [user for user in users if post_id in self.held[user]]
        for user in taken:
            self.held[user].remove(post_id)
        return RemovalResult(len(taken), len(users) - len(taken))


class Database:
    """Posts and their outbox."""

    def __init__(self) -> None:
        self.authors: dict[int, int] = {}
        self.deleted: set[int] = set()
        self.outbox: dict[UUID, EventRecord] = {}
        self.committed: dict[str, list[str]] = defaultdict(list)

    async def commit(self, payload: PostCreated | PostDeleted) -> EventRecord:
        self.authors[payload.post_id] = payload.author_id
        is_delete = isinstance(payload, PostDeleted)
        if is_delete:
            self.deleted.add(payload.post_id)
        event = Event(payload=payload, entity=str(payload.post_id), entity_version=1 + is_delete)
        record = replace(encode(event, "simulation"), created_us=int(asyncio.get_running_loop().time() * 1_000_000))
        self.outbox[record.event_id] = record
        self.committed[record.key].append(str(record.event_id))
        return record

    async def lead(self) -> bool:
        """There may be two leaders for a while: one that was, and does not know it."""
        return True

    async def oldest(self, limit: int, grace_s: float) -> Sequence[EventRecord]:
        before_us = (asyncio.get_running_loop().time() - grace_s) * 1_000_000
        return [record for record in self.outbox.values() if record.created_us <= before_us][:limit]

    async def size(self, limit: int) -> int:
        return min(len(self.outbox), limit)

    async def delete(self, records: Sequence[EventRecord]) -> None:
        for record in records:
            self.outbox.pop(record.event_id, None)


class System:
    """A post service and two fan-out workers. `faults` has each fault that was seen."""

    def __init__(self) -> None:
        self.settings = settings_for(Settings, {})
        self.faults: list[str] = []
        self.broker = Broker(self._on_commit)
        self.database, self.lists = Database(), Lists()
        self.ledger, self.removals = InMemoryLedger(), InMemoryRemovals()
        self._handled: dict[tuple[str, TopicPartition], set[int]] = defaultdict(set)
        self._to_do: list[PostCreated | PostDeleted] = _stamps()
        self._is_calm = False
        self._has_zombie_died = False
        self._has_publisher_died = False
        self._starts: dict[str, Callable[[Process], None]] = {
            "post": self._start_post,
            "fanout-1": self._start_fanout,
            "fanout-2": self._start_fanout,
        }
        self._processes: dict[str, Process] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Run from the first start to rest, and collect the faults."""
        for name in self._starts:
            self._start(name)
        for _ in range(MISHAPS):
            await asyncio.sleep(random.uniform(0, 1))
            await self._mishap()
        self._is_calm = True
        for process in self._processes.values():
            process.is_calm = True
        try:
            async with asyncio.timeout(SETTLE_S):
                while self._to_do or self.database.outbox or not self.broker.is_drained():
                    await asyncio.sleep(1)
        except TimeoutError:
            self.faults.append("does not come to rest")
        await asyncio.sleep(ZOMBIE_S)
        self._look()

    async def _mishap(self) -> None:
        name = random.choice(list(self._processes))
        match random.choice(["kill", "pause", "rebalance"]):
            case "kill":
                self._has_zombie_died |= self._processes[name].was_zombie
                self._has_publisher_died |= name == "post"
                self._processes[name].kill()
                await asyncio.sleep(random.uniform(0, 1))
                self._start(name)
            case "pause":
                self._processes[name].pause(random.uniform(0, PAUSE_S))
            case _:
                random.choice(list(self.broker.groups.values())).start_rebalance()

    def _start(self, name: str) -> None:
        process = self._processes[name] = Process(name)
        process.is_calm = self._is_calm
        self._starts[name](process)
        self._tasks += process.tasks

    def _start_post(self, process: Process) -> None:
        producer = EventProducer(self.settings, process.name, partial(self.broker.sender, process))
        outbox = Outbox(process.seen_from(self.database), producer, clock=asyncio.get_running_loop().time)
        process.run(self._act(process, outbox), outbox.run_direct(), outbox.run_relay())

    def _start_fanout(self, process: Process) -> None:
        producer = EventProducer(self.settings, process.name, partial(self.broker.sender, process))
        graph, lists = Graph(process), process.seen_from(self.lists)
        ledgers = Ledgers(process.seen_from(self.ledger), process.seen_from(self.removals))
        load = FixedBackpressure()
        delivery = FeedWriter(graph, lists, ledgers.posts, load)
        removal = FeedRemover(graph, lists, ledgers.removals)
        fanout = Fanout(
            graph,
            {"push": delivery, "slow": delivery},
            {"push": removal, "slow": removal},
            KafkaChunkQueue(producer),
            ledgers,
            InMemoryGaps(),
            load,
            InMemoryPulls(),
            chunk_followers=CHUNK,
            slow_lane_from=SLOW_LANE_FROM,
            max_ids=MAX_IDS,
        )
        consumers = FanoutConsumers(fanout, ledgers)
        for start, group, topic, handler in (
            (GatheringRunner, "fanout", "posts", consumers.on_posts),
            (ConsumerRunner, "chunks", "feed.fanout", consumers.on_chunks),
            (ConsumerRunner, "slow-chunks", "feed.fanout.slow", consumers.on_slow_chunks),
        ):
            runner = start(
                self.settings,
                group,
                [topic],
                self._noting(group, handler),
                producer,
                consumers.on_dead_letter,
                partial(self.broker.member, process),
            )
            process.run(runner.run())

    async def _act(self, process: Process, outbox: Outbox) -> None:
        while self._to_do:
            await process.step()
            record = await self.database.commit(self._to_do.pop(0))
            await process.step()
            await outbox.committed([record])

    def _noting(self, group: str, handler: Handler) -> Handler:
        async def handle(deliveries: Sequence[EventDelivery]) -> None:
            await handler(deliveries)
            for one in deliveries:
                self._handled[group, TopicPartition(one.payload.topic, one.partition)].add(one.offset)

        return handle

    def _on_commit(self, group: str, partition: TopicPartition, offset: int) -> None:
        if lost := set(range(offset)) - self._handled[group, partition]:
            self.faults.append(f"{group} committed {partition} up to {offset}, but did not handle {sorted(lost)}")

    def _look(self) -> None:
        for task in self._tasks:
            if task.done() and (error := task.exception()):
                self.faults.append(f"a process ended: {error!r}")
        for partition, log in self.broker.logs.items():
            if partition.topic.endswith(".dlq"):
                self.faults.append(f"{len(log)} dead letters in {partition.topic}: {log[0].headers}")
        if not self._has_publisher_died:
            self._look_at_order()
        for post_id, author_id in self.database.authors.items():
            readers = {user: held.count(post_id) for user, held in self.lists.held.items() if post_id in held}
            wanted = {} if post_id in self.database.deleted else dict.fromkeys(FOLLOWERS[author_id], 1)
            if self._has_zombie_died and not wanted:
                continue  # nobody takes back what it pushed last; readers are not shown it (ADR 9)
            fickle = {user: readers.pop(user) for user in FICKLE[author_id] if user in readers}
            if readers != wanted or set(fickle.values()) - {1}:
                self.faults.append(f"post {post_id} of {author_id} is held by {readers} and {fickle}, not by {wanted}")

    def _look_at_order(self) -> None:
        """Only a publisher that died may leave an event that is overtaken."""
        told: dict[str, dict[str, None]] = defaultdict(dict)
        for partition, log in self.broker.logs.items():
            for record in log if partition.topic == "posts" else ():
                told[record.key.decode()].setdefault(orjson.loads(record.value)["event_id"])
        for author, ids in told.items():
            if list(ids) != self.database.committed[author]:
                self.faults.append(f"the posts of {author} were not told in order")


def _stamps() -> list[PostCreated | PostDeleted]:
    """Posts, and deletes of half of them, soon or late."""
    created = [
        PostCreated(post_id=100 + n, author_id=random.choice(list(FOLLOWERS)), created_at=datetime.now(UTC))
        for n in range(POSTS)
    ]
    stamps: list[PostCreated | PostDeleted] = list(created)
    for post in random.sample(created, POSTS // 2):
        at = random.randint(stamps.index(post) + 1, len(stamps))
        stamps.insert(at, PostDeleted(post_id=post.post_id, author_id=post.author_id))
    return stamps


def simulate(seed: int) -> list[str]:
    """Return the faults in the run of this seed."""

    async def run() -> list[str]:
        system = System()
        await system.run()
        return system.faults

    return run_simulated(seed, run())


def run_simulated(seed: int, run: Coroutine[Any, Any, list[str]]) -> list[str]:
    """Return the outcome of `run` in virtual time. It is the same for the same seed."""
    random.seed(seed)
    with structlog.testing.capture_logs(), asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(run)
