"""Metrics of producers and consumers."""

from prometheus_client import Counter, Histogram

HANDLER_RETRIES = Counter(
    "feedmill_handler_retries_total", "Batches repeated because a store or service was unavailable.", ["group"]
)
EVENTS_HANDLED = Counter(
    "feedmill_events_handled_total", "Events that a consumer has finished.", ["group", "topic", "outcome"]
)
EVENTS_PUBLISHED = Counter("feedmill_events_published_total", "Events that the brokers confirmed.", ["topic", "via"])
CONSUMER_LAG = Histogram(
    "feedmill_event_age_seconds",
    "Age of an event when its handler has finished.",
    ["group", "topic"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
)
