"""Breakers, budgets, deadlines and hedges, with dependencies that the tests control."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from libs.common.core.breaker import BREAKER_FAILURES, PROBE_PAUSE_MAX_S, PROBE_PAUSE_S, CircuitBreaker, Outcome
from libs.common.core.context import Caller, remaining_s, set_caller, set_deadline
from libs.common.core.dependency import BUDGET_MAX, Dependency
from libs.common.core.errors import DeadlineError, OverloadedError, UnavailableError
from libs.common.core.policies import Policy
from libs.common.core.settings import Settings
from libs.common.testing import settings_for
from libs.common.testing.eventually import eventually

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


async def never() -> int:
    await asyncio.Event().wait()
    return 0


BREAKERS: list[CircuitBreaker] = []


@pytest.fixture(autouse=True)
async def no_probe_goes_on() -> AsyncIterator[None]:
    """Their sleeps take no time here: one that is left would spin in the loop of all later tests."""
    yield
    while BREAKERS:
        await BREAKERS.pop().close()


class Store:
    """What a breaker probes: up or down, as a test says. Its pauses take no time."""

    def __init__(self, *, is_up: bool) -> None:
        self.is_up = is_up
        self.probes = 0
        self.pauses: list[float] = []
        self.deadlines: list[float] = []

    async def probe(self) -> None:
        self.probes += 1
        self.deadlines.append(remaining_s())
        await asyncio.sleep(0)
        if not self.is_up:
            raise Down

    async def sleep(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        await asyncio.sleep(0)

    def breaker(self) -> CircuitBreaker:
        BREAKERS.append(made := CircuitBreaker("store", self.probe, 1.0, self.sleep))
        return made

    def dependency(self, **changes: object) -> Dependency:
        settings = settings_for(Settings, {}, timeout_factor=1.0)
        made = Dependency("store", settings, self.probe, (Down, Odd), **{"retried": (Down,), **changes})  # type: ignore[arg-type]
        made.breaker = self.breaker()
        return made


def dependency(**changes: object) -> Dependency:
    return Store(is_up=True).dependency(**changes)


def fail(breaker: CircuitBreaker, times: int = BREAKER_FAILURES) -> None:
    for _ in range(times):
        breaker.record(Outcome.FAILED)


async def some_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_failures_of_a_store_that_answers_the_probe_open_nothing() -> None:
    store = Store(is_up=True)
    breaker = store.breaker()
    for _ in range(3):
        fail(breaker)
        assert breaker.allows_calls()
        await some_turns()
    assert breaker.allows_calls()
    assert store.probes == 3, "the count starts anew each time"
    fail(breaker, BREAKER_FAILURES - 1)
    breaker.record(Outcome.ANSWERED)
    fail(breaker, BREAKER_FAILURES - 1)
    await some_turns()
    assert store.probes == 3, "not in a row"


async def test_a_breaker_is_open_until_a_probe_is_answered() -> None:
    store = Store(is_up=False)
    breaker = store.breaker()
    fail(breaker)
    assert breaker.allows_calls(), "it is not known yet"
    await some_turns()
    assert not breaker.allows_calls()
    assert store.probes > 3
    breaker.record(Outcome.ANSWERED)  # of a call that was on its way before
    await some_turns()
    assert not breaker.allows_calls()
    assert max(store.pauses) <= PROBE_PAUSE_MAX_S
    assert store.pauses[0] <= PROBE_PAUSE_S
    store.is_up = True
    await some_turns()
    assert breaker.allows_calls()
    fail(breaker, BREAKER_FAILURES - 1)
    probes = store.probes
    await some_turns()
    assert store.probes == probes, "the count starts anew"


async def test_a_caller_who_gets_an_answer_keeps_it_closed() -> None:
    store = Store(is_up=False)
    breaker = store.breaker()
    fail(breaker)
    await asyncio.sleep(0)
    assert store.probes == 1
    breaker.record(Outcome.ANSWERED)
    await some_turns()
    assert breaker.allows_calls()
    assert store.probes == 1


async def test_a_probe_that_hangs_is_not_answered() -> None:
    breaker = CircuitBreaker("store", never, 0.02)
    fail(breaker)

    async def is_open() -> bool:
        return breaker.is_open

    assert await eventually(is_open)
    await breaker.close()


async def test_closing_ends_the_probing() -> None:
    store = Store(is_up=False)
    breaker = store.breaker()
    fail(breaker)
    await some_turns()
    await breaker.close()
    probes = store.probes
    await some_turns()
    assert store.probes == probes


async def test_a_probe_has_not_the_deadline_of_the_request_that_failed() -> None:
    store = Store(is_up=True)
    breaker = store.breaker()

    async def hurried() -> None:
        set_deadline(0)
        fail(breaker)

    await asyncio.create_task(hurried())
    await some_turns()
    assert store.deadlines == [math.inf]


async def tried(breaker: CircuitBreaker, error: BaseException, slow_after_s: float = LONG_S) -> None:
    """As often as would open it."""
    for _ in range(BREAKER_FAILURES):
        with pytest.raises(type(error)), breaker.watch((Down,), slow_after_s, (Odd,)):
            raise error
    await some_turns()


async def test_what_counts_as_no_answer() -> None:
    for error, counts in ((Down(), True), (Odd(), False), (UnavailableError(), False), (ValueError(), False)):
        store = Store(is_up=False)
        await tried(store.breaker(), error)
        assert bool(store.probes) == counts, error


async def test_a_call_that_was_given_up_counts_when_it_took_long() -> None:
    for slow_after_s, counts in ((0.0, True), (LONG_S, False)):
        store = Store(is_up=False)
        breaker = store.breaker()
        for _ in range(BREAKER_FAILURES):
            with pytest.raises(asyncio.CancelledError), breaker.watch((Down,), slow_after_s):
                raise asyncio.CancelledError
        await some_turns()
        assert bool(store.probes) == counts


async def test_contention_of_callers_never_counts() -> None:
    store = Store(is_up=False)
    contended = replace(Policy(0.001), contention=(TimeoutError,))
    calls = store.dependency()
    for _ in range(BREAKER_FAILURES):
        with pytest.raises(UnavailableError):
            await calls.call(contended, never)
    await some_turns()
    assert store.probes == 0


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


async def test_an_open_breaker_asks_nobody_and_then_everybody() -> None:
    store, attempt = Store(is_up=False), Scripted(*[Down] * BREAKER_FAILURES)
    calls = store.dependency()
    for _ in range(BREAKER_FAILURES):
        with pytest.raises(UnavailableError):
            await calls.call(PATIENT, attempt)
    await some_turns()
    with pytest.raises(UnavailableError):
        await calls.call(PATIENT, attempt)
    assert attempt.calls == BREAKER_FAILURES
    store.is_up = True
    await some_turns()
    assert await calls.call(PATIENT, attempt) == BREAKER_FAILURES + 1


async def test_second_tries_have_a_budget() -> None:
    store = dependency()
    calls = 0
    for _ in range(int(BUDGET_MAX) + 5):
        attempt = Scripted(Down)
        try:
            await store.call(Policy(LONG_S, retries=1), attempt)
        except UnavailableError:
            store.breaker.record(Outcome.ANSWERED)
        calls += attempt.calls
    assert calls < 2 * (BUDGET_MAX + 5)


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
    store = dependency(max_concurrent=1)
    held = [asyncio.create_task(store.call(PATIENT, never)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await store.call(PATIENT, never)
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    assert await store.call(PATIENT, Scripted()) == 1


async def test_whoever_waits_for_a_slot_is_served_in_turn_with_other_callers() -> None:
    store, served, free = dependency(max_concurrent=4), list[int](), asyncio.Event()

    async def use(account: int) -> None:
        set_caller(Caller(account, "203.0.113.9"))

        async def attempt() -> None:
            await free.wait()
            served.append(account)

        await store.call(PATIENT, attempt)

    greedy = [asyncio.create_task(use(1)) for _ in range(7)]
    await asyncio.sleep(0)
    modest = asyncio.create_task(use(2))
    await asyncio.sleep(0)
    free.set()
    await asyncio.gather(*greedy, modest)
    assert served.index(2) <= 5, "four of the first caller were there before, and one of his may be next"


async def test_waiting_for_a_slot_says_nothing_about_the_dependency() -> None:
    store, policy = dependency(max_concurrent=BREAKER_FAILURES), Policy(0.01)
    held = [asyncio.create_task(store.call(PATIENT, never)) for _ in range(BREAKER_FAILURES)]
    await asyncio.sleep(0)
    calls = [store.call(policy, Scripted()) for _ in range(BREAKER_FAILURES)]
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, OverloadedError)
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    assert await store.call(policy, Scripted()) == 1
