from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from libs.common.core.settings import Settings
from libs.common.stores import redis as redis_module
from libs.common.stores.hot_keys import (
    COMMANDS_A_SAMPLE,
    COUNTED_MAX,
    HOT_LIFE_S,
    KEYS_MAX,
    WINDOW_S,
    CommandSample,
    HotKeys,
)
from libs.common.stores.redis import open_redis


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (("GET", "a"), {"a"}),
        (("SET", b"a", "b"), {"a"}),
        (("MGET", "a", "b"), {"a", "b"}),
        (("FCALL", "name", 2, "a", "b", "argument"), {"a", "b"}),
        (("PING",), set()),
        (("CLIENT SETINFO", "LIB-NAME", "redis-py"), set()),
        (("ZINCRBY", "t_hot_keys:17", 1, "a"), set()),
    ],
)
def test_the_keys_of_a_sampled_command_are_counted(command: Sequence[Any], keys: set[str]) -> None:
    sample = CommandSample()
    for _ in range(100 * COMMANDS_A_SAMPLE):
        sample.command(command)
    counts = sample.take()
    assert counts.keys() == keys
    assert all(50 < count < 200 for count in counts.values())
    assert not sample.take()


def test_the_position_in_a_pipeline_does_not_matter() -> None:
    sample = CommandSample()
    for number in range(1_000 * COMMANDS_A_SAMPLE):
        sample.command(("GET", f"place-{number % 10}"))
    counts = sample.take()
    assert len(counts) == 10
    assert all(50 < count < 200 for count in counts.values())


def test_the_memory_for_counts_is_bounded() -> None:
    sample = CommandSample()
    for number in range(3 * COUNTED_MAX):
        sample.command(("MGET", *(f"{number}-{n}" for n in range(100))))
    assert len(sample.take()) <= COUNTED_MAX


class FixedSample(CommandSample):
    """Has counted each of these keys the same number of times."""

    def __init__(self, count: int, *keys: str) -> None:
        super().__init__()
        self._counts.update(dict.fromkeys(keys, count))


class Machine:
    """Processes with a common clock, each with a client of its own."""

    def __init__(self, clients: Sequence["Redis"]) -> None:
        self.clients = clients
        self.namespace = f"t{uuid4().hex[:8]}_"
        self.now_s = 1_700_000_000.0

    async def end_window(self, *samples: CommandSample) -> dict[str, float]:
        """Let each process report its sample. Return the list after the next window."""
        self.now_s += WINDOW_S
        for client, sample in zip(self.clients, samples, strict=True):
            await HotKeys(client, self.namespace, lambda: self.now_s, sample).report()
        return await self.listed(WINDOW_S)

    async def listed(self, after_s: float) -> dict[str, float]:
        self.now_s += after_s
        return await HotKeys(self.clients[0], self.namespace, lambda: self.now_s).find()


@pytest.fixture
async def machine(settings: Settings) -> AsyncIterator[Machine]:
    async with open_redis(settings) as one, open_redis(settings) as other:
        machine = Machine([one, other])
        yield machine
        await one.delete(*await one.keys(f"{machine.namespace}*"), "unused")


@pytest.mark.stores
async def test_a_key_under_load_from_two_clients_is_listed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    hot, cool, samples = f"hot:{uuid4().hex}", f"cool:{uuid4().hex}", [CommandSample(), CommandSample()]
    for client, sample in zip(machine.clients, samples, strict=True):
        monkeypatch.setattr(redis_module, "SAMPLE", sample)
        for _ in range(100):
            async with client.pipeline(transaction=False) as pipe:
                for number in range(100):
                    pipe.get(cool if number % 10 == 0 else hot)
                await pipe.execute()
    listed = await machine.end_window(*samples)
    assert listed.keys() == {hot}  # 1,800 operations a second in a window of 10 s; the cool key has 200
    assert listed[hot] == pytest.approx(1_800, rel=0.4)


@pytest.mark.stores
async def test_the_sum_of_all_processes_counts(machine: Machine) -> None:
    listed = await machine.end_window(FixedSample(60, "a", "b"), FixedSample(41, "a"))
    assert listed == {"a": 1_010.0}


@pytest.mark.stores
async def test_a_key_stays_for_an_hour_after_it_was_last_hot(machine: Machine) -> None:
    for _ in range(2):
        assert await machine.end_window(FixedSample(101, "key"), FixedSample(0)) == {"key": 1_010.0}
    assert await machine.listed(HOT_LIFE_S - 1) == {"key": 0.0}
    assert await machine.listed(1) == {}


@pytest.mark.stores
async def test_the_list_is_bounded_and_holds_the_latest(machine: Machine) -> None:
    for part in range(3):
        keys = [f"{part}-{number}" for number in range(KEYS_MAX)]
        listed = await machine.end_window(FixedSample(200, *keys), FixedSample(0))
        assert listed.keys() == set(keys)
