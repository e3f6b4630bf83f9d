"""Measures calls to stores: one place for the time of each query and, in a sampled trace, for its span."""

import time
from functools import cache
from types import TracebackType
from typing import Literal, Self

from prometheus_client import Histogram

from libs.telemetry.metrics import exemplar, histogram

Store = Literal["cassandra", "postgres", "redis"]
QUERY_SECONDS = histogram("feedmill_query_seconds")


class Query:
    """Context manager around one query, from sending it until the rows are there.

    Args:
        store: where the query runs.
        statement: a name from a small set, such as `posts_by_id` or `SELECT sessions`; never with values.
    """

    __slots__ = ("_started_s", "_statement", "_store")

    def __init__(self, store: Store, statement: str) -> None:
        self._store = store
        self._statement = statement

    def __enter__(self) -> Self:
        self._started_s = time.perf_counter()
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        record_query(self._store, self._statement, time.perf_counter() - self._started_s, error)


def record_query(store: Store, statement: str, seconds: float, _: BaseException | None = None) -> None:
    """Record a query that has ended now, for drivers that report queries afterwards."""
    _series(store, statement).observe(seconds, exemplar())


@cache
def _series(store: Store, statement: str) -> Histogram:
    """The series of these labels; finding it in the histogram costs as much as the observation."""
    return QUERY_SECONDS.labels(store, statement)
