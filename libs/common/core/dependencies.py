"""How a deployable calls what it depends upon: for how long, how often, and when not at all (ADR 10, ADR 11)."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Self, TypeVar

from prometheus_client import Counter, Gauge

from libs.common.core.context import caller, remaining_s
from libs.common.core.errors import DeadlineError, OverloadedError, UnavailableError
from libs.common.core.fairness import FairGate, Place
from libs.common.core.logging import get_logger
from libs.common.core.settings import Settings

BREAKER_FAILURES = 5  # in a row (docs/figures.md)
PROBE_S = 0.5  # times patience: what one small query to a store that works may take
PROBE_MAX_S = 2.0  # with the longest pause, recovery stays below 5 s whatever the patience
PROBE_PAUSE_S = 0.2  # after the first probe without an answer, then twice as long each time
PROBE_PAUSE_MAX_S = 1.0
TICK_S = 0.005  # timers may be early by so much
BUDGET_SHARE = 0.1  # second tries may add so much to the load of a dependency, whatever fails
BUDGET_MAX = 10.0  # second tries at once
AT_ONCE = 64  # calls to one dependency; as many may wait, more are refused
OPEN = Gauge("feedmill_breaker_open", "1 while a dependency is not asked.", ["dependency"])
PROBES = Counter("feedmill_breaker_probes_total", "Probes after failures in a row.", ["dependency", "answered"])
REFUSED = Counter("feedmill_dependency_refused_total", "Calls that were not made.", ["dependency", "why"])
RETRIED = Counter("feedmill_dependency_second_tries_total", "Retries and hedges.", ["dependency"])
Failures = tuple[type[BaseException], ...]
T = TypeVar("T")
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """How one kind of call is made. Retries wait `backoff_s`, times `growth` each time, with jitter.

    `hedge_after_s` is when a second try goes out beside the first; only for reads. `contention` are the failures that
    callers cause among themselves: they do not count against the dependency.
    """

    timeout_s: float
    retries: int = 0
    backoff_s: float = 0.0
    growth: int = 1
    hedge_after_s: float | None = None
    contention: Failures = ()

    @property
    def once(self) -> Self:
        """For what must not be done twice."""
        return replace(self, retries=0, hedge_after_s=None)


# Retries stand where the failing thing is called: a service that answers 503 has tried again already, so its callers
# repeat only what did not reach it. Figures: ADR 10.
REDIS_READ = Policy(0.05, retries=2, backoff_s=0.01)
REDIS_WRITE = Policy(0.5, retries=3, backoff_s=0.05, growth=2)
CASSANDRA_READ = Policy(0.2, retries=2, backoff_s=0.05)
CASSANDRA_WRITE = Policy(2.0, retries=3, backoff_s=0.1, growth=2)
POSTGRES = Policy(3.0)
SERVICE_READ = Policy(3.0, retries=1, backoff_s=0.02, hedge_after_s=0.5)
SERVICE_FILE = Policy(30.0)


class Outcome(Enum):
    """What one try says about the dependency."""

    ANSWERED = auto()
    FAILED = auto()
    UNKNOWN = auto()


class Breaker:
    """Keeps callers away from a dependency that does not answer.

    Failures in a row do not open it by themselves: they start a probe, and only a probe without an answer opens it. So
    a hot key or a slow query of one caller stops nobody else. Open, it probes on until there is an answer, and closes;
    no caller's request is used to find out.

    Args:
        name: of the dependency, in metrics and logs.
        probe: asks the dependency something small, past any pool that callers can fill; raises when there is no answer.
        patience: factor of the time that a probe may take.
        sleep: waits between probes.
    """

    def __init__(
        self,
        name: str,
        probe: Callable[[], Awaitable[object]],
        patience: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.is_open = False
        self._probe = probe
        self._probe_s = min(PROBE_S * patience, PROBE_MAX_S)
        self._sleep = sleep
        self._failures = 0
        self._probing: asyncio.Task[None] | None = None

    def admits(self) -> bool:
        """Whether a call may be made."""
        if self.is_open:
            REFUSED.labels(self.name, "breaker").inc()
        return not self.is_open

    def record(self, outcome: Outcome) -> None:
        """Count what came of a try."""
        if outcome is Outcome.ANSWERED:
            self._failures = 0
        elif outcome is Outcome.FAILED:
            self._failures += 1
            if self._failures >= BREAKER_FAILURES and self._probing is None:
                # in a context of its own: the deadline of the request in hand is not the probe's
                self._probing = asyncio.get_running_loop().create_task(self._find_out(), context=Context())

    @contextmanager
    def watch(
        self,
        failures: Failures,
        enough_s: float,
        contention: Failures = (),
        success: Outcome = Outcome.ANSWERED,
    ) -> Iterator[None]:
        """Record what comes of the block.

        Args:
            failures: the errors that mean no answer; any other error is an answer.
            enough_s: a try that its caller gave up is a failure after so long, and says nothing before.
            contention: those of the failures that say nothing.
            success: what the end of the block says.
        """
        says_nothing: Failures = (*contention, UnavailableError)  # the second is ours: nobody was asked
        no_answer: Failures = (*failures, asyncio.CancelledError)
        began = time.monotonic()
        outcome = Outcome.UNKNOWN
        try:
            yield
        except says_nothing:
            raise
        except no_answer as error:
            given_up = isinstance(error, asyncio.CancelledError) or remaining_s() < TICK_S
            too_soon = bool(contention) or time.monotonic() - began < enough_s
            outcome = Outcome.UNKNOWN if given_up and too_soon else Outcome.FAILED
            raise
        except Exception:
            outcome = Outcome.ANSWERED
            raise
        else:
            outcome = success
        finally:
            self.record(outcome)

    async def _find_out(self) -> None:
        """Probe; open while there is no answer, unless a caller got one meanwhile."""
        pause_s = PROBE_PAUSE_S
        while not await self._is_answered() and (self.is_open or self._failures >= BREAKER_FAILURES):
            self._set_open(True)
            await self._sleep(random.uniform(pause_s / 2, pause_s))
            pause_s = min(2 * pause_s, PROBE_PAUSE_MAX_S)
        self._failures, self._probing = 0, None
        self._set_open(False)

    async def _is_answered(self) -> bool:
        try:
            async with asyncio.timeout(self._probe_s):
                await self._probe()
        except Exception as error:
            log.warning("probe_not_answered", dependency=self.name, error=repr(error))
            answered = False
        else:
            answered = True
        PROBES.labels(self.name, str(answered).lower()).inc()
        return answered

    def _set_open(self, is_open: bool) -> None:
        if is_open != self.is_open:
            log.warning("breaker_opened" if is_open else "breaker_closed", dependency=self.name)
        self.is_open = is_open
        OPEN.labels(self.name).set(is_open)

    async def close(self) -> None:
        """End the probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
            OPEN.labels(self.name).set(0)  # the next one of this name begins closed


class Dependency:
    """One service or store, as seen from one deployable: its breaker, its retry budget, its share of what is under way.

    Args:
        name: such as `post` or `cassandra`.
        settings: how patient.
        probe: see Breaker.
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
        self.breaker = Breaker(name, probe, settings.patience)
        self._patience = settings.patience
        self._failures: Failures = (*failures, TimeoutError)
        self._retried = self._failures if retried is None else retried
        self._budget = BUDGET_MAX
        self._slots = FairGate(name, at_once, queue=at_once)
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
        retries, backoff_s = policy.retries, policy.backoff_s
        while True:
            if not self.breaker.admits():
                raise self._unavailable()
            place = await take_place(self._slots, self.patient_s(policy))
            try:
                with self.breaker.watch(self._failures, self.patient_s(policy) / 2, policy.contention):
                    async with asyncio.timeout(min(self.patient_s(policy), remaining_s())):
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
        return UnavailableError(f"{self.name} does not answer")

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


async def take_place(gate: FairGate, wait_s: float) -> Place:
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
