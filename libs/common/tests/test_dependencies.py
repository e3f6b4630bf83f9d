"""Breakers, budgets, deadlines and hedges, with dependencies that do as they are told."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from libs.common.runtime.context import set_deadline
from libs.common.runtime.dependencies import BREAKER_FAILURES, BUDGET_MAX, Breaker, Dependency, Policy
from libs.common.runtime.errors import DeadlineError, UnavailableError
from libs.common.runtime.settings import Settings
from libs.common.testing import settings_for

LONG_S = 60.0
PATIENT = Policy(LONG_S)


class Down(Exception):
    pass


class Odd(Exception):
    pass


class Scripted:
    """Raises what it is given, one failure a call, then answers with the number of calls."""

    def __init__(self, *failures: type[Exception]) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def __call__(self) -> int:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return self.calls


def dependency(**changes: object) -> Dependency:
    settings = settings_for(Settings, {}, patience=1.0)
    return Dependency("store", settings, (Down, Odd), **{"retried": (Down,), **changes})  # type: ignore[arg-type]


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_call_try() -> None:
    now = 0.0
    breaker = Breaker("clocked", 30.0, lambda: now)
    for _ in range(BREAKER_FAILURES - 1):
        breaker.failed()
    breaker.succeeded()
    for _ in range(BREAKER_FAILURES):
        assert breaker.admits()
        breaker.failed()
    assert not breaker.admits()
    now = 30.0
    assert [breaker.admits(), breaker.admits()] == [True, False]
    breaker.failed()
    now = 59.0
    assert not breaker.admits()
    now = 60.0
    assert breaker.admits()
    breaker.succeeded()
    assert breaker.admits()
    assert breaker.admits()


def test_a_call_that_was_given_up_counts_when_it_took_long_and_else_lets_another_try() -> None:
    now = 0.0
    breaker = Breaker("given-up", 30.0, lambda: now)
    breaker.given_up(begun=now, enough_s=1)
    now = 1.0
    for _ in range(BREAKER_FAILURES):
        assert breaker.admits()
        breaker.given_up(begun=0, enough_s=1)
    breaker.given_up(begun=now, enough_s=1)  # a late one, not that which tries
    assert not breaker.admits()
    now = 31.0
    assert breaker.admits()
    breaker.given_up(begun=now, enough_s=1)
    assert breaker.admits()


async def test_retries_are_as_many_as_the_policy_says() -> None:
    policy = Policy(LONG_S, retries=2)
    assert await dependency().call(policy, Scripted(Down, Down)) == 3
    for one, attempt, calls in ((policy, Scripted(*[Down] * 4), 3), (policy.once, Scripted(Down), 1)):
        with pytest.raises(UnavailableError):
            await dependency().call(one, attempt)
        assert attempt.calls == calls


async def test_what_may_have_been_done_is_not_repeated() -> None:
    attempt = Scripted(Odd)
    with pytest.raises(UnavailableError):
        await dependency().call(Policy(LONG_S, retries=2), attempt)
    assert attempt.calls == 1


async def test_an_open_breaker_asks_nobody() -> None:
    store, attempt = dependency(), Scripted(*[Down] * BREAKER_FAILURES)
    for _ in range(BREAKER_FAILURES + 1):
        with pytest.raises(UnavailableError):
            await store.call(PATIENT, attempt)
    assert attempt.calls == BREAKER_FAILURES


async def test_second_tries_have_a_budget() -> None:
    store = dependency()
    calls = 0
    for _ in range(int(BUDGET_MAX) + 5):
        attempt = Scripted(Down)
        try:
            await store.call(Policy(LONG_S, retries=1), attempt)
        except UnavailableError:
            store.breaker.succeeded()
        calls += attempt.calls
    assert calls < 2 * (BUDGET_MAX + 5)


async def never() -> int:
    await asyncio.Event().wait()
    return 0


async def test_a_deadline_says_nothing_about_the_dependency() -> None:
    store = dependency()

    async def hurried() -> None:
        set_deadline(0.01)
        with pytest.raises(DeadlineError):
            await store.call(PATIENT, never)

    for _ in range(BREAKER_FAILURES):
        await asyncio.create_task(hurried())
    assert await store.call(PATIENT, Scripted()) == 1


async def test_a_call_without_an_answer_ends() -> None:
    with pytest.raises(UnavailableError) as caught:
        await dependency().call(Policy(0.01), never)
    assert not isinstance(caught.value, DeadlineError)


@pytest.mark.parametrize("second", [Scripted(), Scripted(Down)])
async def test_a_read_is_hedged(second: Scripted) -> None:
    """The second try's answer is taken; when it fails the first one is waited for."""
    release = asyncio.Event()
    tries: list[Callable[[], Awaitable[int]]] = []

    async def attempt() -> int:
        tries.append(attempt)
        if len(tries) == 1:
            await release.wait()
            return 7
        release.set()
        return await second()

    answer = await dependency().call(Policy(LONG_S, hedge_after_s=0.01), attempt)
    assert len(tries) == 2
    assert answer in {1, 7}


async def test_a_slow_dependency_holds_no_more_than_its_share() -> None:
    store = dependency(at_once=1)
    held = [asyncio.create_task(store.call(PATIENT, never)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="too many"):
        await store.call(PATIENT, never)
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    assert await store.call(PATIENT, Scripted()) == 1


async def test_waiting_for_a_slot_says_nothing_about_the_dependency() -> None:
    store, policy = dependency(at_once=BREAKER_FAILURES), Policy(0.01)
    held = [asyncio.create_task(store.call(PATIENT, never)) for _ in range(BREAKER_FAILURES)]
    await asyncio.sleep(0)
    calls = [store.call(policy, Scripted()) for _ in range(BREAKER_FAILURES)]
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, UnavailableError)
        assert "too many" in outcome.detail
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    assert await store.call(policy, Scripted()) == 1
