"""How a deployable calls what it depends upon: for how long, how often, and when not at all (ADR 10, ADR 11)."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from prometheus_client import Counter

from libs.common.core.breaker import REFUSED, TICK_S, CircuitBreaker
from libs.common.core.context import caller, remaining_s
from libs.common.core.errors import DeadlineError, OverloadedError, UnavailableError
from libs.common.core.fairness import FairSemaphore, Slot
from libs.common.core.policies import Failures, Policy
from libs.common.core.settings import Settings

BUDGET_SHARE = 0.1  # second tries may add so much to the load of a dependency, whatever fails
BUDGET_MAX = 10.0  # second tries at once
AT_ONCE = 64  # calls to one dependency; as many may wait, more are refused
RETRIED = Counter("feedmill_dependency_second_tries_total", "Retries and hedges.", ["dependency"])
T = TypeVar("T")


class Dependency:
    """One service or store, as seen from one deployable: its breaker, its retry budget, its share of what is under way.

    Args:
        name: such as `post` or `cassandra`.
        settings: how patient.
        probe: see CircuitBreaker.
        failures: what a call raises when there is no answer; TimeoutError always counts.
        retried: the failures after which a call is repeated; all of them by default.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        probe: Callable[[], Awaitable[object]],
        failures: Failures,
        retried: Failures | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        self.name = name
        self.breaker = CircuitBreaker(name, probe, settings.timeout_factor)
        self._patience = settings.timeout_factor
        self._failures: Failures = (*failures, TimeoutError)
        self._retried = self._failures if retried is None else retried
        self._budget = BUDGET_MAX
        self._slots = FairSemaphore(name, at_once, queue=at_once)
        self._second_tries = RETRIED.labels(name)

    def timeout_s(self, policy: Policy) -> float:
        """How long one try may take."""
        return policy.timeout_s * self._patience

    async def call(self, policy: Policy, attempt: Callable[[], Awaitable[T]]) -> T:
        """The answer of `attempt`, within the policy and the deadline of the request in hand.

        Raises:
            DeadlineError: the request's time is up.
            UnavailableError: there was no answer, or nobody was asked.
        """
        retries, backoff_s = policy.retries, policy.backoff_s
        while True:
            if not self.breaker.allows_calls():
                raise self._unavailable()
            place = await take_slot(self._slots, self.timeout_s(policy))
            try:
                with self.breaker.watch(self._failures, self.timeout_s(policy) / 2, policy.contention):
                    async with asyncio.timeout(min(self.timeout_s(policy), remaining_s())):
                        answer = await self._try(policy, attempt)
            except self._failures as error:
                if remaining_s() < TICK_S:
                    raise DeadlineError from error
                if not retries or not isinstance(error, self._retried) or not self._second_try():
                    raise self._unavailable() from error
            else:
                self._budget = min(BUDGET_MAX, self._budget + BUDGET_SHARE)
                return answer
            finally:
                place.release()
            await asyncio.sleep(random.uniform(backoff_s / 2, backoff_s))
            retries, backoff_s = retries - 1, backoff_s * policy.growth

    def _unavailable(self) -> UnavailableError:
        return UnavailableError(f"The dependency {self.name} does not respond.")

    async def _try(self, policy: Policy, attempt: Callable[[], Awaitable[T]]) -> T:
        """The answer. If the policy hedges, and there is none by then: the first of two, or the failure of the last."""
        if policy.hedge_after_s is None:
            return await attempt()
        tries = {asyncio.ensure_future(attempt())}
        try:
            done, _ = await asyncio.wait(tries, timeout=policy.hedge_after_s * self._patience)
            if not done and self._second_try():
                tries.add(asyncio.ensure_future(attempt()))
            pending = tries - done
            while pending and not any(one.exception() is None for one in done):
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            return min(done, key=lambda one: one.exception() is not None).result()
        finally:
            for one in tries:
                one.cancel()

    def _second_try(self) -> bool:
        if self._budget < 1:
            REFUSED.labels(self.name, "budget").inc()
            return False
        self._budget -= 1
        self._second_tries.inc()
        return True


async def take_slot(gate: FairSemaphore, wait_s: float) -> Slot:
    """A place among those who use a dependency, dealt out in turn between callers.

    Waits as long as a try may take. That there is none says nothing about the dependency.

    Raises:
        DeadlineError: the request's time is up.
        OverloadedError: too many wait.
    """
    try:
        return await gate.acquire(caller(), min(wait_s, remaining_s()))
    except OverloadedError as error:
        if remaining_s() < TICK_S:
            raise DeadlineError from error
        raise
