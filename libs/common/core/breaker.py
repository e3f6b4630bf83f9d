"""Circuit breakers: callers do not ask a dependency that does not answer (ADR 11)."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from enum import Enum, auto

from prometheus_client import Counter, Gauge

from libs.common.core.context import remaining_s
from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.common.core.policies import Failures

BREAKER_FAILURES = 5  # in a row (docs/figures.md)
PROBE_S = 0.5  # times timeout_factor: what one small query to a store that works may take
PROBE_MAX_S = 2.0  # with the longest pause, recovery stays below 5 s whatever the timeout_factor
PROBE_PAUSE_S = 0.2  # after the first probe without an answer, then twice as long each time
PROBE_PAUSE_MAX_S = 1.0
TICK_S = 0.005  # timers may be early by so much
OPEN = Gauge("feedmill_breaker_open", "1 while a dependency is not asked.", ["dependency"])
PROBES = Counter("feedmill_breaker_probes_total", "Probes after failures in a row.", ["dependency", "answered"])
log = get_logger(__name__)


class Outcome(Enum):
    """What one try says about the dependency."""

    ANSWERED = auto()
    FAILED = auto()
    UNKNOWN = auto()


class CircuitBreaker:
    """Keeps callers away from a dependency that does not answer.

    Failures in a row do not open it by themselves: they start a probe, and only a probe without an answer opens it. So
    a hot key or a slow query of one caller stops nobody else. Open, it probes on until there is an answer, and closes;
    no caller's request is used to find out.

    Args:
        name: of the dependency, in metrics and logs.
        probe: asks the dependency something small, past any pool that callers can fill; raises when there is no answer.
        timeout_factor: factor of the time that a probe may take.
        sleep: waits between probes.
    """

    def __init__(
        self,
        name: str,
        probe: Callable[[], Awaitable[object]],
        timeout_factor: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.is_open = False
        self._probe = probe
        self._probe_s = min(PROBE_S * timeout_factor, PROBE_MAX_S)
        self._sleep = sleep
        self._failures = 0
        self._probing: asyncio.Task[None] | None = None

    def allows_calls(self) -> bool:
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


REFUSED = Counter("feedmill_dependency_refused_total", "Calls that were not made.", ["dependency", "why"])
