"""The runner of independent records under mishaps that a seed draws."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import pytest
from aiokafka import TopicPartition

from libs.common.core.settings import Settings
from libs.common.kafka import consumer
from libs.common.kafka.consumer import ReceivedEvent, UnorderedRunner
from libs.common.kafka.producer import EventProducer
from libs.common.testing import settings_for
from libs.contracts.base import Event, Payload
from libs.contracts.events import PostDeleted
from libs.contracts.records import encode
from tests.simulation.broker import FETCHED, PARTITIONS, Broker, Process
from tests.simulation.system import run_simulated

RECORDS = 60
MISHAPS = 6
WORK_S = 2.0  # at most
SETTLE_S = 300.0  # virtual
SEEDS = 20
Handle = Callable[[int], Awaitable[None]]


class Consumers:
    """Processes of one group that handle posts' ids."""

    def __init__(self, handle: Handle) -> None:
        self.faults: list[str] = []
        self.done: dict[TopicPartition, set[int]] = defaultdict(set)
        self.broker = Broker(self._on_commit)
        self._handle = handle
        self._settings = settings_for(Settings, {})
        self._processes: list[Process] = []

    async def publish(self) -> None:
        for post_id in range(RECORDS):
            event = Event(payload=PostDeleted(post_id=post_id, author_id=post_id), entity="1", entity_version=1)
            record = encode(event, "simulation")
            await self.broker.append(record.topic, record.key.encode(), record.value, record.headers)

    def start(self) -> None:
        process = Process(f"worker-{len(self._processes)}")
        self._processes.append(process)
        producer = EventProducer(self._settings, process.name, partial(self.broker.sender, process))

        async def handle(deliveries: Sequence[ReceivedEvent]) -> None:
            for one in deliveries:
                await process.step()
                await self._handle(_id(one.payload))
                await process.step()
                self.done[TopicPartition(one.payload.topic, one.partition)].add(one.offset)

        member = partial(self.broker.member, process)
        process.run(UnorderedRunner(self._settings, "g", ["posts"], handle, producer, open_member=member).run())

    async def mishap(self) -> None:
        await asyncio.sleep(random.uniform(0, 2))
        match random.choice(["kill", "pause", "rebalance"]):
            case "kill":
                self._processes[-1].kill()
                self.start()
            case "pause":
                random.choice(self._processes).pause(random.uniform(0, 4))
            case _:
                self.broker.groups["g"].start_rebalance()

    async def come_to_rest(self) -> None:
        for process in self._processes:
            process.is_calm = True
        try:
            async with asyncio.timeout(SETTLE_S):
                while sum(map(len, self.done.values())) < RECORDS or not self.broker.is_drained():
                    await asyncio.sleep(1)
        except TimeoutError:
            self.faults.append("does not come to rest")

    def _on_commit(self, group: str, partition: TopicPartition, offset: int) -> None:
        if lost := set(range(offset)) - self.done[partition]:
            self.faults.append(f"{group} committed {partition} up to {offset}, but did not handle {sorted(lost)}")


def _id(payload: Payload) -> int:
    assert isinstance(payload, PostDeleted)
    return payload.post_id


def under_mishaps(seed: int) -> list[str]:
    async def works(_: int) -> None:
        await asyncio.sleep(random.uniform(0, WORK_S))

    async def run() -> list[str]:
        consumers = Consumers(works)
        await consumers.publish()
        consumers.start()
        consumers.start()
        for _ in range(MISHAPS):
            await consumers.mishap()
        await consumers.come_to_rest()
        return consumers.faults

    return run_simulated(seed, run())


@pytest.mark.slow
def test_nothing_is_committed_before_it_is_handled_and_all_is_handled() -> None:
    for seed in range(SEEDS):
        assert under_mishaps(seed) == [], f"seed {seed}"


def test_a_runner_that_commits_what_it_has_only_read_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer._Reading, "done_to", lambda reading: reading.next_offset)
    assert any(under_mishaps(seed) for seed in range(SEEDS))


def test_a_slow_record_delays_none_behind_it() -> None:
    async def run() -> list[str]:
        others: set[int] = set()
        are_done = asyncio.Event()

        async def first_waits_for_all_others(post_id: int) -> None:
            if post_id == 0:
                await are_done.wait()
            others.add(post_id)
            if len(others) == RECORDS - 1:
                are_done.set()

        consumers = Consumers(first_waits_for_all_others)
        await consumers.publish()
        consumers.start()
        await consumers.come_to_rest()
        return consumers.faults

    assert run_simulated(1, run()) == []


@pytest.mark.parametrize("read_ahead", [1, 7])
def test_what_is_in_hand_is_bounded(read_ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "READ_AHEAD", read_ahead)
    most = 0

    async def run() -> list[str]:
        running = 0

        async def counts(_: int) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(WORK_S)
            running -= 1

        consumers = Consumers(counts)
        await consumers.publish()
        consumers.start()
        await consumers.come_to_rest()
        return consumers.faults

    assert run_simulated(1, run()) == []
    assert read_ahead <= most < PARTITIONS * (read_ahead + FETCHED)
