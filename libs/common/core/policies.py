"""Time-outs, retries and hedging of calls to stores and services (ADR 10)."""

from dataclasses import dataclass, replace
from typing import Self

Failures = tuple[type[BaseException], ...]


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
# repeat only what did not reach it. Figures: docs/figures.md.
REDIS_READ = Policy(0.05, retries=2, backoff_s=0.01)
REDIS_WRITE = Policy(0.5, retries=3, backoff_s=0.05, growth=2)
CASSANDRA_READ = Policy(0.2, retries=2, backoff_s=0.05)
CASSANDRA_WRITE = Policy(2.0, retries=3, backoff_s=0.1, growth=2)
POSTGRES = Policy(3.0)
SERVICE_READ = Policy(3.0, retries=1, backoff_s=0.02, hedge_after_s=0.5)
SERVICE_FILE = Policy(30.0)
