"""Calls to stores and services, with a deadline, retries, hedging and a circuit breaker (ADR 10, ADR 11)."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from libs.common.core.breaker import REFUSED, TICK_S, CircuitBreaker
from libs.common.core.context import caller, remaining_s
from libs.common.core.errors import DeadlineError, OverloadedError, UnavailableError
from libs.common.core.fairness import FairSemaphore, Slot
from libs.common.core.policies import Failures, Policy
from libs.common.core.settings import Settings
from libs.telemetry.metrics import counter

BUDGET_SHARE = 0.1  # retries and hedges add at most this share to the load of a dependency
BUDGET_MAX = 10.0  # retries and hedges in a burst
MAX_CONCURRENT = 64  # calls to one dependency; as many may wait, more are refused
SECOND_TRIES = counter("feedmill_dependency_second_tries_total")
T = TypeVar("T")


class Dependency:
    """A service or store that this deployable calls, with its circuit breaker, retry budget and limit of calls.

    Args:
        name: its name in metrics, logs and messages, such as `post` or `cassandra`.
        settings: for the time-out factor.
        probe: see `CircuitBreaker`.
        failures: errors that mean that there was no answer; TimeoutError always counts.
        retried: the failures after which a call is retried; all of them by default.
        max_concurrent: the limit of calls in progress at the same time.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        probe: Callable[[], Awaitable[object]],
        failures: Failures,
        retried: Failures | None = None,
        max_concurrent: int = MAX_CONCURRENT,
    ) -> None:
        self.name = name
        self.breaker = CircuitBreaker(name, probe, settings.timeout_factor)
        self._timeout_factor = settings.timeout_factor
        self._failures: Failures = (*failures, TimeoutError)
        self._retried = self._failures if retried is None else retried
        self._budget = BUDGET_MAX
        self._slots = FairSemaphore(name, max_concurrent, queue=max_concurrent)
        self._second_tries = SECOND_TRIES.labels(name)

    def timeout_s(self, policy: Policy) -> float:
        """The time-out of one try, in seconds."""
        return policy.timeout_s * self._timeout_factor

    async def call(self, policy: Policy, attempt: Callable[[], Awaitable[T]]) -> T:
        """The answer of `attempt`, within the policy and the deadline of the current request.

        Raises:
            DeadlineError: the deadline of the request has passed.
            UnavailableError: there was no answer, or the breaker is open.
            OverloadedError: too many calls wait for a slot.
        """
        retries, backoff_s = policy.retries, policy.backoff_s
        while True:
            if not self.breaker.allows_calls():
                raise self._unavailable()
            with await take_slot(self._slots, self.timeout_s(policy)):
                try:
                    with self.breaker.watch(self._failures, self.timeout_s(policy) / 2, policy.contention):
                        async with asyncio.timeout(min(self.timeout_s(policy), remaining_s())):
                            answer = await self._try(policy, attempt)
                except self._failures as error:
                    if remaining_s() < TICK_S:
                        raise DeadlineError from error
                    if not retries or not isinstance(error, self._retried) or not self._spend_budget():
                        raise self._unavailable() from error
                else:
                    self._budget = min(BUDGET_MAX, self._budget + BUDGET_SHARE)
                    return answer
            await asyncio.sleep(random.uniform(backoff_s / 2, backoff_s))
            retries, backoff_s = retries - 1, backoff_s * policy.growth

    def _unavailable(self) -> UnavailableError:
        return UnavailableError(f"The dependency {self.name} does not respond.")

    async def _try(self, policy: Policy, attempt: Callable[[], Awaitable[T]]) -> T:
        """The answer, or with hedging the first answer of two tries; if both fail, the failure of the last one."""
        if policy.hedge_after_s is None:
            return await attempt()
        tries = {asyncio.ensure_future(attempt())}
        try:
            done, _ = await asyncio.wait(tries, timeout=policy.hedge_after_s * self._timeout_factor)
            if not done and self._spend_budget():
                tries.add(asyncio.ensure_future(attempt()))
            pending = tries - done
            while pending and not any(task.exception() is None for task in done):
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            return min(done, key=lambda task: task.exception() is not None).result()
        finally:
            for task in tries:
                task.cancel()

    def _spend_budget(self) -> bool:
        if self._budget < 1:
            REFUSED.labels(self.name, "budget").inc()
            return False
        self._budget -= 1
        self._second_tries.inc()
        return True


async def take_slot(slots: FairSemaphore, wait_s: float) -> Slot:
    """Wait for a slot for a call of the current caller. A full queue does not count as a failure of the dependency.

    Raises:
        DeadlineError: the deadline of the request has passed.
        OverloadedError: too many callers wait, or none finished within `wait_s`.
    """
    try:
        return await slots.acquire(caller(), min(wait_s, remaining_s()))
    except OverloadedError as error:
        if remaining_s() < TICK_S:
            raise DeadlineError from error
        raise
