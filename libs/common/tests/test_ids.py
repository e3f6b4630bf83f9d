import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import EPOCH_MS, LEASE_MS, IdMinter, NoLeaseError, first_id_at, id_time_ms, parse_id

NOW = EPOCH_MS + 90_000_000_000


class InMemoryLeases:
    def __init__(self) -> None:
        self.ends: dict[int, int] = {}

    async def until_ms(self, node: int) -> int | None:
        return self.ends.get(node)

    async def extend(self, node: int, seen_until_ms: int | None, until_ms: int) -> bool:
        if self.ends.get(node) != seen_until_ms:
            return False
        self.ends[node] = until_ms
        return True


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


@given(st.lists(st.integers(-6_000, 6_000), max_size=200))
def test_ids_grow_whatever_the_clock_does(steps: list[int]) -> None:
    async def mint_all() -> list[int]:
        clock, minted = Clock(), []
        minter = IdMinter(InMemoryLeases(), clock)
        await minter.acquire()
        for step in steps:
            clock.ms += step
            try:
                minted.append(minter.mint())
            except NoLeaseError:
                await minter.renew()
        return minted

    minted = asyncio.run(mint_all())
    assert len(set(minted)) == len(minted)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-40_000, 40_000)), max_size=100))
def test_two_processes_never_mint_the_same_id(turns: list[tuple[int, int]]) -> None:
    """Even on one node number, with clocks that jump and leases that run out."""

    class OneNode(InMemoryLeases):
        async def until_ms(self, node: int) -> int | None:
            return await super().until_ms(7)

        async def extend(self, node: int, seen_until_ms: int | None, until_ms: int) -> bool:
            return await super().extend(7, seen_until_ms, until_ms)

    async def mint_all() -> list[int]:
        leases, clocks = OneNode(), (Clock(), Clock())
        minters = [IdMinter(leases, clock) for clock in clocks]
        minted: list[int] = []
        for who, step in turns:
            clocks[who].ms += step
            try:
                minted.append(minters[who].mint() & ~(1023 << 12))
            except NoLeaseError:
                try:
                    await minters[who].renew()
                except NoLeaseError:
                    continue
        return minted

    minted = asyncio.run(mint_all())
    assert len(set(minted)) == len(minted)


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
