"""Circuit breakers: calls to a dependency that does not answer fail at once (ADR 11)."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from enum import Enum, auto

from libs.common.core.context import remaining_s
from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.common.core.policies import Failures
from libs.telemetry.metrics import counter, gauge

BREAKER_FAILURES = 5  # in a row (docs/figures.md)
PROBE_S = 0.5  # times timeout_factor: longer than one small query to a working store
PROBE_MAX_S = 2.0  # with the longest pause, recovery takes less than 5 s for any timeout_factor
PROBE_PAUSE_S = 0.2  # after the first failed probe; then it doubles
PROBE_PAUSE_MAX_S = 1.0
TICK_S = 0.005  # timers may fire this much too early
OPEN = gauge("feedmill_breaker_open")
PROBES = counter("feedmill_breaker_probes_total")
REFUSED = counter("feedmill_dependency_refused_total")
log = get_logger(__name__)


class Outcome(Enum):
    """What the result of a call shows about the dependency."""

    ANSWERED = auto()
    FAILED = auto()
    UNKNOWN = auto()


class CircuitBreaker:
    """Stops calls to a dependency that does not answer.

    Consecutive failures start a probe, and only a failed probe opens the breaker. So a hot key or a slow query of one
    caller does not affect others. While the breaker is open it probes until there is an answer, and then closes. Calls
    of users are never used as probes.

    Args:
        name: the dependency's name in metrics and logs.
        probe: makes a small request outside of pools that callers can fill; raises if there is no answer.
        timeout_factor: factor for the time-out of a probe.
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
        """True unless the breaker is open; counts the refusal."""
        if self.is_open:
            REFUSED.labels(self.name, "breaker").inc()
        return not self.is_open

    def record(self, outcome: Outcome) -> None:
        """Count the outcome of a call, and start probing after too many failures."""
        if outcome is Outcome.ANSWERED:
            self._failures = 0
        elif outcome is Outcome.FAILED:
            self._failures += 1
            if self._failures >= BREAKER_FAILURES and self._probing is None:
                # A new context, because the deadline of the current request must not end the probe.
                self._probing = asyncio.get_running_loop().create_task(self._probe_until_answered(), context=Context())

    @contextmanager
    def watch(
        self,
        failures: Failures,
        slow_after_s: float,
        contention: Failures = (),
        success: Outcome = Outcome.ANSWERED,
    ) -> Iterator[None]:
        """Record the outcome of the call in the block.

        Args:
            failures: errors that mean that there was no answer; any other error is an answer.
            slow_after_s: a call that its caller abandoned counts as a failure after this time, but not before.
            contention: failures that say nothing about the dependency.
            success: the outcome if the block does not raise.
        """
        started = time.monotonic()
        try:
            yield
        except BaseException as error:
            is_slow = not contention and time.monotonic() - started >= slow_after_s
            self.record(_outcome_of(error, failures, contention, is_slow=is_slow))
            raise
        self.record(success)

    async def _probe_until_answered(self) -> None:
        """Open the breaker while probes fail, unless a caller got an answer before the first one failed."""
        pause_s = PROBE_PAUSE_S
        while not await self._probe_once() and (self.is_open or self._failures >= BREAKER_FAILURES):
            self._set_open(True)
            await self._sleep(random.uniform(pause_s / 2, pause_s))
            pause_s = min(2 * pause_s, PROBE_PAUSE_MAX_S)
        self._failures, self._probing = 0, None
        self._set_open(False)

    async def _probe_once(self) -> bool:
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
        """Stop the probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
            OPEN.labels(self.name).set(0)  # the next breaker of this name starts closed


def _outcome_of(error: BaseException, failures: Failures, contention: Failures, *, is_slow: bool) -> Outcome:
    if isinstance(error, (*contention, UnavailableError)):  # UnavailableError is our own: no call was made
        return Outcome.UNKNOWN
    if isinstance(error, (*failures, asyncio.CancelledError)):
        is_abandoned = isinstance(error, asyncio.CancelledError) or remaining_s() < TICK_S
        return Outcome.UNKNOWN if is_abandoned and not is_slow else Outcome.FAILED
    return Outcome.ANSWERED if isinstance(error, Exception) else Outcome.UNKNOWN
