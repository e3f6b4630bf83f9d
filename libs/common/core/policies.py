"""Time-outs, retries and hedging of calls to stores and services (ADR 10)."""

from dataclasses import dataclass, replace
from typing import Self

Failures = tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Time-out and retries for one kind of call. Retries wait `backoff_s`, times `growth` each time, with jitter.

    With `hedge_after_s`, a second try starts after this time while the first one continues; only for reads. Failures
    listed in `contention` are caused by concurrent callers, and do not count against the dependency.
    """

    timeout_s: float
    retries: int = 0
    backoff_s: float = 0.0
    growth: int = 1
    hedge_after_s: float | None = None
    contention: Failures = ()

    @property
    def once(self) -> Self:
        """The same policy without second tries, for calls that are not idempotent."""
        return replace(self, retries=0, hedge_after_s=None)


# Only the direct caller of a failing dependency retries. A service that answers 503 has retried already, so its callers
# repeat only calls that did not reach it. Figures: docs/figures.md.
REDIS_READ = Policy(0.05, retries=2, backoff_s=0.01)
REDIS_WRITE = Policy(0.5, retries=3, backoff_s=0.05, growth=2)
CASSANDRA_READ = Policy(0.2, retries=2, backoff_s=0.05)
CASSANDRA_WRITE = Policy(2.0, retries=3, backoff_s=0.1, growth=2)
POSTGRES = Policy(3.0)
SERVICE_READ = Policy(3.0, retries=1, backoff_s=0.02, hedge_after_s=0.5)
SERVICE_FILE = Policy(30.0)
OBJECTS = Policy(5.0, retries=3, backoff_s=1.0, growth=2)  # at most 27 s in all
