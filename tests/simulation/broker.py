"""Kafka in memory, and the processes that use it: they are slow, are not answered, stop for a while, and die."""

import asyncio
import random
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence, Set
from functools import partial
from typing import Any

from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaTimeoutError

from libs.common.core.errors import UnavailableError
from libs.common.core.settings import Settings
from libs.contracts.records import Header

PARTITIONS = 2
STEP_S = 0.05  # at most, each way
UNANSWERED = 0.03  # of calls; half of them were carried out
FETCHED = 4  # records at most: small batches, more commits
REBALANCE_S = 1.0  # a member that has not released its partitions by then is left out, and does not know it
SESSION_S = 1.0  # after this a group does without a member that died


class Process:
    """A process. All external effects of its tasks go through `call`, so a crash is a call that never returns."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_calm = False
        self.was_zombie = False
        self._is_alive = True
        self._paused_until_s = 0.0
        self.tasks: list[asyncio.Task[None]] = []
        self.members: list[Member] = []

    def run(self, *work: Awaitable[None]) -> None:
        self.tasks += [asyncio.ensure_future(one) for one in work]

    def pause(self, pause_s: float) -> None:
        """Longer than a session makes a zombie: it goes on where it was, and learns of its loss later."""
        self._paused_until_s = asyncio.get_running_loop().time() + pause_s
        if pause_s > SESSION_S:
            self.was_zombie = True
            self._is_missed()

    def kill(self) -> None:
        self._is_alive = False
        self._is_missed()

    def _is_missed(self) -> None:
        for member in self.members:
            member.group.miss(member)

    async def step(self) -> None:
        """Pause between two effects. Another process runs, or this one does not continue."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(random.uniform(0, STEP_S))
        while loop.time() < self._paused_until_s:
            await asyncio.sleep(self._paused_until_s - loop.time())
        if not self._is_alive:
            await loop.create_future()

    async def call(self, effect: Callable[[], Awaitable[Any]], error: type[Exception] = UnavailableError) -> Any:
        """Carry out an effect, which itself does not wait. Raises `error`, before or after it, now and then."""
        await self.step()
        unlucky = not self.is_calm and random.random() < UNANSWERED
        if unlucky and random.random() < 0.5:
            raise error
        answer = await effect()
        await self.step()
        if unlucky:
            raise error
        return answer

    def seen_from(self, port: Any) -> Any:
        """Return the port as this process reaches it."""
        return _Remote(self, port)


class _Remote:
    def __init__(self, process: Process, port: Any) -> None:
        self._process = process
        self._port = port

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        return lambda *args, **kwargs: self._process.call(partial(method, *args, **kwargs))


class Broker:
    """Topics and groups. `on_commit` is asked whenever a group moves its mark."""

    def __init__(self, on_commit: Callable[[str, TopicPartition, int], None]) -> None:
        self.logs: dict[TopicPartition, list[ConsumerRecord]] = defaultdict(list)
        self.groups: dict[str, Group] = {}
        self._on_commit = on_commit

    def sender(self, process: Process, *_: object) -> "BrokerSender":
        return BrokerSender(self, process)

    def member(self, process: Process, _: Settings, group: str) -> "Member":
        if group not in self.groups:
            self.groups[group] = Group(group, self, self._on_commit)
        member = Member(self.groups[group], process)
        process.members.append(member)
        return member

    async def append(self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> None:
        partition = TopicPartition(topic, zlib.crc32(key or b"") % PARTITIONS)
        log = self.logs[partition]
        log.append(ConsumerRecord(*partition, len(log), 0, 0, key, value, None, 0, 0, headers))

    def is_drained(self) -> bool:
        """Whether every group has committed everything."""
        return all(
            len(self.logs[partition]) == group.committed[partition]
            for group in self.groups.values()
            for partition in group.partitions()
        )


class BrokerSender:
    """A producer in place of aiokafka's. It preserves the order, and gives up the oldest first. Its process may die."""

    def __init__(self, broker: Broker, process: Process) -> None:
        self._broker = broker
        self._process = process
        self._last: asyncio.Future[None] | None = None

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(
        self, topic: str, value: bytes | None, *, key: bytes | None, headers: list[Header]
    ) -> asyncio.Future[None]:
        before = None if self._last is None or self._last.done() else self._last
        self._last = asyncio.ensure_future(self._send(before, partial(self._broker.append, topic, key, value, headers)))
        return self._last

    async def _send(self, before: asyncio.Future[None] | None, append: Callable[[], Awaitable[None]]) -> None:
        if before is not None:
            await asyncio.wait([before])
            if before.exception():
                raise KafkaTimeoutError
        await self._process.call(append, KafkaTimeoutError)


class Group:
    """Gives each partition to one member, as far as it knows, and keeps the marks."""

    def __init__(self, name: str, broker: Broker, on_commit: Callable[[str, TopicPartition, int], None]) -> None:
        self.name = name
        self.broker = broker
        self.topics: set[str] = set()
        self.members: list[Member] = []
        self.committed: dict[TopicPartition, int] = defaultdict(int)
        self._on_commit = on_commit
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def partitions(self) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for topic in sorted(self.topics) for number in range(PARTITIONS)]

    def join(self, member: "Member") -> None:
        self.members.append(member)
        self.start_rebalance()

    def miss(self, member: "Member") -> None:
        """It does not beat any more."""
        asyncio.get_running_loop().call_later(SESSION_S, self._give_up, member)

    def _give_up(self, member: "Member") -> None:
        if member in self.members:
            self.leave(member)
            if not member.is_letting_go:
                self._run(member.let_go())

    def leave(self, member: "Member") -> None:
        if member in self.members:
            self.members.remove(member)
            self.start_rebalance()

    def start_rebalance(self) -> None:
        self._run(self._rebalance())

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def commit(self, member: "Member", offsets: Mapping[TopicPartition, int]) -> None:
        if member not in self.members:
            raise CommitFailedError
        for partition, offset in offsets.items():
            if partition not in member.assignment():
                raise IllegalStateError
            self._on_commit(self.name, partition, offset)
            self.committed[partition] = offset

    async def _rebalance(self) -> None:
        """Leave out a member that does not release its partitions in time. A new one gets its share the next time."""
        async with self._changing:
            leaving = {self._run(member.let_go()): member for member in self.members}
            if leaving:
                _, late = await asyncio.wait(leaving, timeout=REBALANCE_S)
                self.members = [m for m in self.members if m not in [leaving[task] for task in late]]
            ready = [member for task, member in leaving.items() if task.done() and member in self.members]
            partitions = self.partitions()
            random.shuffle(partitions)
            for place, member in enumerate(ready):
                mine = partitions[place :: len(ready)]
                await member.take({partition: self.committed[partition] for partition in mine})


class Member:
    """A consumer of a group, in place of aiokafka's."""

    def __init__(self, group: Group, process: Process) -> None:
        self.group = group
        self.is_letting_go = False
        self._process = process
        self._positions: dict[TopicPartition, int] = {}
        self._listener: ConsumerRebalanceListener | None = None
        self._is_assigned = asyncio.Event()

    def subscribe(self, topics: Sequence[str], *, listener: ConsumerRebalanceListener) -> None:
        self.group.topics.update(topics)
        self._listener = listener

    async def start(self) -> None:
        await self._process.step()
        self.group.join(self)

    async def stop(self) -> None:
        self.group.leave(self)

    def assignment(self) -> Set[TopicPartition]:
        return self._positions.keys()

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int, max_records: int
    ) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
        await asyncio.sleep(random.uniform(0, timeout_ms / 1_000))
        await self._process.step()
        await self._is_assigned.wait()  # as aiokafka does, so that nothing is begun while partitions are released
        found = {}
        for partition in sorted(set(partitions) & self._positions.keys()):
            start = self._positions[partition]
            if records := self.group.broker.logs[partition][start : start + random.randint(1, FETCHED)]:
                found[partition] = records
                self._positions[partition] = records[-1].offset + 1
        return found

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._process.call(partial(self.group.commit, self, offsets), KafkaTimeoutError)

    async def let_go(self) -> None:
        """Told to, late. Who was left out meanwhile comes back."""
        self.is_letting_go = True
        await self._process.step()
        self._is_assigned.clear()
        if self._listener is not None:
            await self._listener.on_partitions_revoked(sorted(self._positions))
        self._positions = {}
        self.is_letting_go = False
        if self not in self.group.members:
            self.group.join(self)

    async def take(self, positions: Mapping[TopicPartition, int]) -> None:
        self._positions = dict(positions)
        if self._listener is not None:
            await self._listener.on_partitions_assigned(sorted(positions))
        self._is_assigned.set()
