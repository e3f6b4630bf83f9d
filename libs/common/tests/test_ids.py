import asyncio
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from libs.common.core.errors import UnavailableError
from libs.common.core.ids import EPOCH_MS, LEASE_MS, IdMinter, NoLeaseError, first_id_at, id_time_ms, parse_id
from libs.common.tests.leases import FewNodes, InMemoryLeases, Lost

NOW = EPOCH_MS + 90_000_000_000
PROCESSES = 2
processes = st.integers(0, PROCESSES - 1)
steps_ms = st.one_of(st.just(0), st.integers(-5_000, 5_000), st.sampled_from([-LEASE_MS, LEASE_MS]))


class Clock:
    def __init__(self) -> None:
        self.ms = NOW

    def __call__(self) -> int:
        return self.ms


async def test_mints_nothing_without_a_lease() -> None:
    with pytest.raises(NoLeaseError):
        IdMinter(InMemoryLeases()).mint()


async def test_mints_nothing_after_its_lease() -> None:
    clock = Clock()
    minter = IdMinter(InMemoryLeases(), clock)
    await minter.acquire()
    clock.ms += LEASE_MS
    with pytest.raises(NoLeaseError):
        minter.mint()
    await minter.renew()
    assert id_time_ms(minter.mint()) == clock.ms


async def test_a_renewed_lease_keeps_its_node() -> None:
    clock = Clock()
    minter = IdMinter(InMemoryLeases(), clock)
    node = (await minter.acquire()).node
    clock.ms += LEASE_MS // 2
    await minter.renew()
    assert minter.mint() >> 12 & 1023 == node


async def test_a_refusal_forgets_nothing_of_what_was_minted() -> None:
    clock = Clock()
    minter = IdMinter(InMemoryLeases(), clock)
    await minter.acquire()
    before = [minter.mint(), minter.mint()]
    clock.ms += LEASE_MS
    with pytest.raises(NoLeaseError):
        minter.mint()
    clock.ms = NOW
    assert minter.mint() not in before


class Minters(RuleBasedStateMachine):
    """Processes with clocks that are apart and jump, few node numbers, and a store whose answers get lost."""

    def __init__(self) -> None:
        super().__init__()
        self.leases = FewNodes(InMemoryLeases())
        self.clocks = [Clock() for _ in range(PROCESSES)]
        self.minters = [IdMinter(self.leases, clock) for clock in self.clocks]
        self.last = [-1] * PROCESSES
        self.minted: set[int] = set()

    @rule(who=processes, step_ms=steps_ms, lost=st.sampled_from(Lost))
    def renews(self, who: int, step_ms: int, lost: Lost) -> None:
        self.clocks[who].ms += step_ms
        self.leases.lost = lost
        with suppress(NoLeaseError, UnavailableError):
            asyncio.run(self.minters[who].renew())
        self.leases.lost = Lost.NOTHING

    @rule(who=processes)
    def is_killed_and_starts_again(self, who: int) -> None:
        self.minters[who], self.last[who] = IdMinter(self.leases, self.clocks[who]), -1

    @rule(who=processes, step_ms=steps_ms, count=st.sampled_from([1, 2, 5_000]))
    def mints(self, who: int, step_ms: int, count: int) -> None:
        self.clocks[who].ms += step_ms
        with suppress(NoLeaseError):
            for _ in range(count):
                minted = self.minters[who].mint()
                assert minted > self.last[who], "went back"
                self.last[who] = minted
                assert self.leases.physical(minted) not in self.minted, "repeated"
                self.minted.add(self.leases.physical(minted))


TestMinters = Minters.TestCase
TestMinters.settings = settings(max_examples=150, stateful_step_count=30)


def test_the_sequence_flows_over_into_the_next_millisecond() -> None:
    async def mint_many() -> list[int]:
        minter = IdMinter(InMemoryLeases(), Clock())
        await minter.acquire()
        return [minter.mint() for _ in range(10_000)]

    minted = asyncio.run(mint_many())
    assert minted == sorted(set(minted))


def test_bounds_and_parsing() -> None:
    assert id_time_ms(first_id_at(NOW)) == NOW
    assert parse_id("381234567890123776") == 381234567890123776
    for bad in ("", "-1", "+1", "1.0", "01", "9223372036854775808", "٣", "1e5", " 1"):
        assert parse_id(bad) is None
