"""Publishing and fan-out under mishaps that a seed draws; and that a mistake in them would be found."""

import os
import random
from collections.abc import Iterable, Mapping, Sequence

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from libs.common.kafka.consumer import GatheringRunner
from libs.common.kafka.outbox import Outbox
from libs.contracts.records import EventRecord
from tests.simulation import system
from tests.simulation.system import Lists, simulate
from workers.fanout.ports import PostRef
from workers.fanout.service.fanout import Fanout

SEEDS = int(os.environ.get("FEEDMILL_SIM_SEEDS", "200"))
PART = 50  # seeds in a test
SEEDS_TO_FIND = 300  # that a planted mistake has to hide


@pytest.mark.parametrize(
    "first", [pytest.param(first, marks=[pytest.mark.slow] if first else []) for first in range(0, SEEDS, PART)]
)
def test_every_follower_has_every_post_once_and_no_deleted_one(first: int) -> None:
    for seed in range(first, min(first + PART, SEEDS)):
        assert simulate(seed) == [], f"seed {seed}: simulate({seed}) does it again"


def test_a_seed_gives_the_same_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lists, "is_new", lambda *_: random.random() < 0.5)  # so that every run has faults
    assert simulate(3) == simulate(3) != simulate(4)


class CommitsFirst(GatheringRunner):
    async def _process(self, batches: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        await self._commit({partition: records[-1].offset + 1 for partition, records in batches.items()})
        await super()._process(batches)


class ForgetsFirst(Outbox):
    async def _publish(self, records: Sequence[EventRecord], via: str) -> list[EventRecord]:
        await self._store.delete(records)
        return await super()._publish(records, via)


class NeverAside(Outbox):
    def _fall_back_to_relay(self) -> None:
        self._direct.set()


class PushesDeleted(Fanout):
    async def _deleted(self, posts: Iterable[PostRef]) -> set[int]:
        return set()


class Repeats(Lists):
    def is_new(self, user_id: int, post_id: int) -> bool:
        return True


@pytest.mark.parametrize("mistaken", [CommitsFirst, ForgetsFirst, NeverAside, PushesDeleted, Repeats])
def test_a_planted_mistake_is_found(mistaken: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, mistaken.__bases__[0].__name__, mistaken)
    assert any(simulate(seed) for seed in range(SEEDS_TO_FIND))
