"""Metrics of HTTP servers."""

from prometheus_client import Counter, Histogram

HTTP_SECONDS = Histogram(
    "feedmill_http_request_seconds",
    "Time to answer a request, by route template.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 10),
)
SHED = Counter(
    "feedmill_http_refused_total",
    "Requests refused before any work: no capacity, deadline passed, or events can't be published.",
)
DEVICES = Counter("feedmill_requests_by_device_total", "Public requests by X-Device-Type.", ["device"])
