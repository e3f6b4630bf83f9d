"""How a deployable asks what it depends upon: for how long, how often, and when not at all (ADR 10)."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Self, TypeVar

from prometheus_client import Counter, Gauge

from libs.common.runtime.context import remaining_s
from libs.common.runtime.errors import DeadlineError, UnavailableError
from libs.common.runtime.settings import Settings

BREAKER_FAILURES = 5  # in a row (scale §10.4)
TICK_S = 0.005  # timers may be early by so much
BUDGET_SHARE = 0.1  # second tries may add so much to the load of a dependency, whatever fails
BUDGET_MAX = 10.0  # second tries at once
AT_ONCE = 64  # calls to one dependency; as many may wait, more are refused
OPEN = Gauge("feedmill_breaker_open", "1 while a dependency is not asked.", ["dependency"])
REFUSED = Counter("feedmill_dependency_refused_total", "Calls that were not made.", ["dependency", "why"])
RETRIED = Counter("feedmill_dependency_second_tries_total", "Retries and hedges.", ["dependency"])
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Policy:
    """How one kind of call is made. Retries wait `backoff_s`, times `growth` each time, with jitter.

    `hedge_after_s` is when a second try goes out beside the first; only for reads.
    """

    timeout_s: float
    retries: int = 0
    backoff_s: float = 0.0
    growth: int = 1
    hedge_after_s: float | None = None

    @property
    def once(self) -> Self:
        """For what must not be done twice."""
        return replace(self, retries=0, hedge_after_s=None)


# Retries stand where the failing thing is called: a service that answers 503 has tried again already, so its callers
# repeat only what did not reach it. Figures of scale §10.2 where it has any.
REDIS_READ = Policy(0.05, retries=2, backoff_s=0.01)
REDIS_WRITE = Policy(0.5, retries=3, backoff_s=0.05, growth=2)
CASSANDRA_READ = Policy(0.2, retries=2, backoff_s=0.05)
CASSANDRA_WRITE = Policy(2.0, retries=3, backoff_s=0.1, growth=2)
POSTGRES = Policy(3.0)
SERVICE_READ = Policy(3.0, retries=1, backoff_s=0.02, hedge_after_s=0.5)
SERVICE_FILE = Policy(30.0)


class Breaker:
    """Closed until some calls in a row have failed, then open for a time, after which one call may try."""

    def __init__(self, name: str, open_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0
        self._trying = False
        self._gauge = OPEN.labels(name)
        self._refused = REFUSED.labels(name, "breaker")

    def admits(self) -> bool:
        """Whether a call may be made. The one that tries an open breaker keeps others out until it is known."""
        if self._failures < BREAKER_FAILURES:
            return True
        if self._clock() < self._open_until:
            self._refused.inc()
            return False
        self._open_until = self._clock() + self._open_s
        self._trying = True
        return True

    def succeeded(self) -> None:
        """A call was answered."""
        if self._failures:
            self._failures, self._trying = 0, False
            self._gauge.set(0)

    def failed(self) -> None:
        """A call was not answered."""
        self._failures += 1
        if self._failures >= BREAKER_FAILURES:
            self._open_until, self._trying = self._clock() + self._open_s, False
            self._gauge.set(1)

    def given_up(self, begun: float, enough_s: float) -> None:
        """Whoever called at `begun` waits no longer. That is a failure after `enough_s`; before, it says nothing.

        Was it the call that tried, another may.
        """
        if self._clock() - begun >= enough_s:
            self.failed()
        elif self._trying:
            self._open_until, self._trying = self._clock(), False


class Dependency:
    """One service or store, as seen from one deployable: its breaker, its retry budget, its share of what is under way.

    Args:
        name: such as `post` or `cassandra`.
        settings: how patient, and how long a breaker stays open.
        failures: what a call raises when there is no answer; TimeoutError always counts.
        retried: the failures after which a call is repeated; all of them by default.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        failures: tuple[type[BaseException], ...],
        retried: tuple[type[BaseException], ...] | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        self.name = name
        self.breaker = Breaker(name, settings.breaker_open_s)
        self._patience = settings.patience
        self._failures: tuple[type[BaseException], ...] = (*failures, TimeoutError)
        self._retried = self._failures if retried is None else retried
        self._budget = BUDGET_MAX
        self._at_once = at_once
        self._slots = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._second_tries = RETRIED.labels(name)

    def patient_s(self, policy: Policy) -> float:
        """How long one try may take."""
        return policy.timeout_s * self._patience

    async def call(self, policy: Policy, attempt: Callable[[], Awaitable[T]]) -> T:
        """The answer of `attempt`, within the policy and the deadline of the request in hand.

        Raises:
            DeadlineError: the request's time is up.
            UnavailableError: there was no answer, or nobody was asked.
        """
        if not self.breaker.admits():
            raise UnavailableError(f"{self.name} does not answer")
        verdict: Callable[[], None] = partial(self.breaker.given_up, time.monotonic(), math.inf)
        retries, backoff_s = policy.retries, policy.backoff_s
        try:
            while True:
                await self._take_slot(policy)
                verdict = partial(self.breaker.given_up, time.monotonic(), self.patient_s(policy) / 2)
                try:
                    async with asyncio.timeout(min(self.patient_s(policy), remaining_s())):
                        answer = await self._try(policy, attempt)
                except self._failures as error:
                    if remaining_s() < TICK_S:
                        raise DeadlineError from error
                    if not retries or not isinstance(error, self._retried) or not self._second_try():
                        verdict = self.breaker.failed
                        raise UnavailableError(f"{self.name} does not answer") from error
                except Exception:
                    verdict = self.breaker.succeeded  # it answered
                    raise
                else:
                    verdict = self.breaker.succeeded
                    self._budget = min(BUDGET_MAX, self._budget + BUDGET_SHARE)
                    return answer
                finally:
                    self._slots.release()
                await asyncio.sleep(random.uniform(backoff_s / 2, backoff_s))
                retries, backoff_s = retries - 1, backoff_s * policy.growth
        finally:
            verdict()

    async def _take_slot(self, policy: Policy) -> None:
        """Wait for one as long as a try may take; that there is none says nothing about the dependency."""
        if not self._slots.locked():
            await self._slots.acquire()
            return
        if self._waiting >= self._at_once:
            raise self._crowded()
        self._waiting += 1
        try:
            async with asyncio.timeout(min(self.patient_s(policy), remaining_s())):
                await self._slots.acquire()
        except TimeoutError as error:
            raise (DeadlineError() if remaining_s() < TICK_S else self._crowded()) from error
        finally:
            self._waiting -= 1

    def _crowded(self) -> UnavailableError:
        REFUSED.labels(self.name, "queue").inc()
        return UnavailableError(f"too many calls wait for {self.name}")

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
