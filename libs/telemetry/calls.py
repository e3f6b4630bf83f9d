"""Measures calls to stores: one place for the time of each query and, in a sampled trace, for its span."""

import time
from functools import cache
from types import TracebackType
from typing import Literal, Self

from opentelemetry.trace import SpanKind
from prometheus_client import Histogram

from libs.telemetry.metrics import exemplar, histogram
from libs.telemetry.tracing import Attributes, past_span

Store = Literal["cassandra", "postgres", "redis"]
QUERY_SECONDS = histogram("feedmill_query_seconds")
_SYSTEMS = {"cassandra": "cassandra", "postgres": "postgresql", "redis": "redis"}
_places: dict[Store, Attributes] = {}


class Query:
    """Context manager around one query, from sending it until the rows are there.

    Args:
        store: where the query runs.
        statement: a name from a small set, for metrics; never with values.
        summary: the name of the span if it is another one: the operation, and what it is done to.
    """

    __slots__ = ("_started_s", "_statement", "_store", "_summary")

    def __init__(self, store: Store, statement: str, summary: str = "") -> None:
        self._store = store
        self._statement = statement
        self._summary = summary or statement

    def __enter__(self) -> Self:
        self._started_s = time.perf_counter()
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        record_query(self._store, self._statement, self._summary, time.perf_counter() - self._started_s, error)


def record_query(
    store: Store, statement: str, summary: str, seconds: float, error: BaseException | None = None
) -> None:
    """Record a query that has ended now, for drivers that report queries afterwards. Arguments: see `Query`."""
    sampled = exemplar()
    _series(store, statement).observe(seconds, sampled)
    if sampled is not None:
        past_span(summary, SpanKind.CLIENT, {**_attributes(store, summary), **_places.get(store, {})}, seconds, error)


def set_place(store: Store, namespace: str, address: str, port: int) -> None:
    """Set where queries of this process go: the keyspace, database or number of the database, and the server."""
    _places[store] = {"db.namespace": namespace, "server.address": address, "server.port": port}


@cache
def _series(store: Store, statement: str) -> Histogram:
    """The series of these labels; finding it in the histogram costs as much as the observation."""
    return QUERY_SECONDS.labels(store, statement)


@cache
def _attributes(store: Store, summary: str) -> Attributes:
    """What a summary says: its operation, and the table or, in Redis, the function."""
    operation, _, target = summary.partition(" ")
    kind = "db.stored_procedure.name" if store == "redis" else "db.collection.name"
    return {
        "db.system.name": _SYSTEMS[store],
        "db.operation.name": operation,
        "db.query.summary": summary,
        **({kind: target} if target else {}),
    }
