"""Creates the metrics that the catalog declares, and adds exemplars to their samples."""

from itertools import product
from typing import TypeVar

from opentelemetry import trace
from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from libs.telemetry.catalog import BY_NAME, Kind, Metric

M = TypeVar("M", Counter, Gauge, Histogram)
disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the number of series


def counter(name: str) -> Counter:
    """Create a declared counter. Raises KeyError or ValueError if it is not declared, or created already."""
    metric = _declared(name, "counter")
    return _with_known_labels(Counter(name, metric.text, tuple(metric.labels)), metric)


def gauge(name: str) -> Gauge:
    """Create a declared gauge. Raises KeyError or ValueError if it is not declared, or created already."""
    metric = _declared(name, "gauge")
    return _with_known_labels(Gauge(name, metric.text, tuple(metric.labels)), metric)


def histogram(name: str) -> Histogram:
    """Create a declared histogram. Raises KeyError or ValueError if it is not declared, or created already."""
    metric = _declared(name, "histogram")
    created = Histogram(name, metric.text, tuple(metric.labels), buckets=metric.buckets)
    return _with_known_labels(created, metric)


def exemplar() -> dict[str, str] | None:
    """The labels that lead from a sample to its trace; None if the trace is not sampled."""
    span = trace.get_current_span().get_span_context()
    return {"trace_id": f"{span.trace_id:032x}"} if span.trace_flags.sampled else None


def _declared(name: str, kind: Kind) -> Metric:
    metric = BY_NAME[name]
    if metric.kind != kind:
        raise ValueError(f"{name} is declared as a {metric.kind}")
    return metric


def _with_known_labels(created: M, metric: Metric) -> M:
    """Export each known combination from the start: a rate over the first event needs the 0 before it."""
    if metric.labels and all(metric.labels.values()):
        for values in product(*metric.labels.values()):
            created.labels(*values)
    return created
