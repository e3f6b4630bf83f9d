"""Measures calls to stores: one place for the time of each query and, in a sampled trace, for its span."""

import time
from functools import cache
from types import TracebackType
from typing import Literal, Self

from opentelemetry.trace import SpanKind
from prometheus_client import Histogram

from libs.telemetry.metrics import exemplar, histogram
from libs.telemetry.tracing import Attributes, is_sampled, past_span

Store = Literal["cassandra", "postgres", "redis"]
QUERY_SECONDS = histogram("feedmill_query_seconds")
_SYSTEMS = {"cassandra": "cassandra", "postgres": "postgresql", "redis": "redis"}
_places: dict[Store, Attributes] = {}


class Query:
    """Context manager around one query, from sending it until the rows are there.

    Args:
        store: where the query runs.
        statement: a name from a small set, such as `SELECT sessions` or `GET`; never with values. Its first word is
            the operation.
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


def record_query(store: Store, statement: str, seconds: float, error: BaseException | None = None) -> None:
    """Record a query that has ended now, for drivers that report queries afterwards."""
    _series(store, statement).observe(seconds, exemplar())
    if is_sampled():
        attributes = {**_attributes(store, statement), **_places.get(store, {})}
        past_span(statement, SpanKind.CLIENT, attributes, seconds, error)


def set_place(store: Store, namespace: str, address: str, port: int) -> None:
    """Set where queries of this process go: the keyspace, database or number of the database, and the server."""
    _places[store] = {"db.namespace": namespace, "server.address": address, "server.port": port}


@cache
def _series(store: Store, statement: str) -> Histogram:
    """The series of these labels; finding it in the histogram costs as much as the observation."""
    return QUERY_SECONDS.labels(store, statement)


@cache
def _attributes(store: Store, statement: str) -> Attributes:
    """What the name of a statement says: see the modules of the stores."""
    first, _, rest = statement.partition(" ")
    attributes = {"db.system.name": _SYSTEMS[store], "db.query.summary": statement}
    match store:
        case "cassandra":  # posts_by_id.get, batch posts_by_id.insert
            attributes["db.collection.name"] = (rest or first).partition(".")[0]
            if rest:
                attributes["db.operation.name"] = first.upper()
        case "postgres":  # SELECT sessions, BEGIN
            attributes["db.operation.name"] = first
            if rest:
                attributes["db.collection.name"] = rest
        case "redis" if statement.isupper() or statement == "pipeline":
            attributes["db.operation.name"] = statement.upper()
        case "redis":  # the name of a function
            attributes |= {"db.operation.name": "FCALL", "db.stored_procedure.name": statement}
    return attributes
