"""Samples of metrics, as Prometheus would scrape them."""

from prometheus_client import REGISTRY


def sample(name: str, **labels: str) -> float:
    """The value of this process's sample; 0 if there is none yet. `name` has the suffix `_count` of a histogram."""
    return REGISTRY.get_sample_value(name, labels) or 0.0
