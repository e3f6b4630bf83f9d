"""Shared capacity: shares, turns, and no slot lost whatever order people come, leave and give up in."""

import asyncio
import gc
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.core.context import Caller, set_caller
from libs.common.core.errors import OverloadedError, TooManyInProgressError
from libs.common.core.fairness import CallerShares, FairSemaphore, Slot
from libs.common.testing.samples import sample

ANN, BOB, CAT = (Caller(account, f"192.0.2.{account}") for account in (1, 2, 3))


async def waiting(gate: FairSemaphore, *people: Caller | None) -> "list[asyncio.Task[Slot]]":
    tasks = [asyncio.create_task(gate.acquire(who)) for who in people]
    await asyncio.sleep(0)
    return tasks


def admitted(tasks: "list[asyncio.Task[Slot]]") -> list[int]:
    return [i for i, task in enumerate(tasks) if task.done()]


@pytest.mark.parametrize(
    ("shares", "same"),
    [(CallerShares(account=2), Caller(1, "192.0.2.9")), (CallerShares(address=2), Caller(9, ANN.address))],
    ids=["account", "address"],
)
async def test_one_caller_has_a_share(shares: CallerShares, same: Caller) -> None:
    gate = FairSemaphore("t", 5, shares)
    places = [await gate.acquire(ANN), await gate.acquire(same)]
    with pytest.raises(TooManyInProgressError):
        await gate.acquire(ANN)
    await gate.acquire(BOB)
    places[0].release()
    await gate.acquire(ANN)


async def test_who_waits_uses_its_share_too() -> None:
    gate = FairSemaphore("t", 1, CallerShares(account=2), queue=9)
    await gate.acquire(ANN)
    (task,) = await waiting(gate, ANN)
    with pytest.raises(TooManyInProgressError):
        await gate.acquire(ANN)
    task.cancel()


async def test_an_account_found_later_is_charged() -> None:
    gate = FairSemaphore("t", 5, CallerShares(account=1))
    first, second = [await gate.acquire(Caller(None, ANN.address)) for _ in range(2)]
    first.charge(7)
    with pytest.raises(TooManyInProgressError):
        second.charge(7)
    first.release()
    second.charge(7)


async def test_our_own_work_has_no_share() -> None:
    gate = FairSemaphore("t", 3, CallerShares(1, 1))
    for _ in range(3):
        await gate.acquire(None)


async def test_the_caller_in_hand_is_charged() -> None:
    gate = FairSemaphore("t", 3, CallerShares(account=1))
    set_caller(ANN)
    try:
        async with gate.enter():
            with pytest.raises(TooManyInProgressError):
                await gate.acquire(ANN)
        await gate.acquire(ANN)
    finally:
        set_caller(None)


async def test_turns_go_round_between_callers() -> None:
    gate = FairSemaphore("t", 1, queue=9)
    place = await gate.acquire(CAT)
    tasks = await waiting(gate, ANN, ANN, ANN, BOB, BOB, CAT)
    order: list[int] = []
    while len(order) < len(tasks):
        place.release()
        await asyncio.sleep(0)
        order += [i for i in admitted(tasks) if i not in order]
        place = tasks[order[-1]].result()
    assert order == [0, 3, 5, 1, 4, 2]


async def test_a_full_queue_refuses_at_once() -> None:
    gate = FairSemaphore("t", 1, queue=1)
    await gate.acquire(ANN)
    (task,) = await waiting(gate, ANN)
    with pytest.raises(OverloadedError):
        await gate.acquire(BOB)
    task.cancel()


async def test_in_a_full_queue_the_last_of_whoever_waits_most_gives_way() -> None:
    gate = FairSemaphore("t", 1, queue=3)
    place = await gate.acquire(CAT)
    tasks = await waiting(gate, ANN, ANN, ANN, BOB)
    with pytest.raises(OverloadedError):
        await tasks[2]
    place.release()
    await asyncio.sleep(0)
    (await tasks[0]).release()
    assert (await tasks[3]) is not None
    tasks[1].cancel()


async def test_who_waits_too_long_is_refused_and_leaves_nothing_behind() -> None:
    gate = FairSemaphore("t", 1, CallerShares(account=1), queue=1, wait_s=0.001)
    place = await gate.acquire(ANN)
    for _ in range(3):
        with pytest.raises(OverloadedError):
            await gate.acquire(BOB)
    place.release()
    await gate.acquire(BOB)


@settings(max_examples=150)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(0, 5))
async def test_no_slot_is_lost_or_made(seed: int, slots: int, queue: int) -> None:
    """Callers enter, leave, wait, time out and cancel at random. Afterwards the number of free slots is unchanged."""
    rng = random.Random(seed)
    gate = FairSemaphore("t", slots, CallerShares(account=3, address=4), queue=queue, wait_s=rng.choice([0.0, 60.0]))
    inside = 0

    async def visit(who: Caller) -> None:
        nonlocal inside
        place = await gate.acquire(who)
        inside += 1
        try:
            assert inside <= slots
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
        finally:
            inside -= 1
            place.release()
            place.release()

    tasks: list[asyncio.Task[None]] = []
    for _ in range(rng.randrange(1, 40)):
        tasks.append(asyncio.create_task(visit(rng.choice([ANN, BOB, CAT, Caller(None, ANN.address)]))))
        for _ in range(rng.randrange(3)):
            await asyncio.sleep(0)
        if rng.random() < 0.3:
            rng.choice(tasks).cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    refusals = (asyncio.CancelledError, OverloadedError, TooManyInProgressError)
    assert [outcome for outcome in outcomes if outcome is not None and not isinstance(outcome, refusals)] == []
    places = [await gate.acquire(None) for _ in range(slots)]
    (extra,) = await waiting(gate, None)
    assert not extra.done() or extra.exception() is not None
    extra.cancel()
    await asyncio.gather(extra, return_exceptions=True)
    assert len(places) == slots


async def test_semaphores_of_one_name_are_one_pool_in_metrics() -> None:
    def used() -> list[float]:
        return [sample(f"feedmill_pool_{what}", pool="metrics-test") for what in ("size", "in_use", "waiting")]

    async def use() -> None:
        gate, other = FairSemaphore("metrics-test", 1, queue=1), FairSemaphore("metrics-test", 2)
        with await gate.acquire(None), await other.acquire(None):
            (turn,) = await waiting(gate, None)
            assert used() == [3, 2, 1]
        (await turn).release()
        assert used() == [3, 0, 0]

    await asyncio.create_task(use())
    gc.collect()
    assert used() == [0, 0, 0]
