"""Writes PromQL. Every series is chosen by the variables `job` and `instance` of its dashboard.

A metric without data stays without data: no expression here puts a 0 in the place of a missing metric.
"""

RATE = "[$__rate_interval]"
CHOSEN = ('job=~"$job"', 'instance=~"$instance"')


def series(name: str, *matchers: str) -> str:
    """The series of a metric with the chosen jobs and instances. A matcher is `label="value"`."""
    return f"{name}{{{','.join((*CHOSEN, *matchers))}}}"


def rate(name: str, *matchers: str, by: str = "") -> str:
    """How often a counter is counted up per second, as a sum over all series or for each value of the labels `by`."""
    return total(f"rate({series(name, *matchers)}{RATE})", by=by)


def increase(name: str, window: str, *matchers: str, by: str = "") -> str:
    """Write the growth of a counter within a window such as `1h`."""
    return total(f"increase({series(name, *matchers)}[{window}])", by=by)


def total(expression: str, by: str = "", of: str = "sum") -> str:
    """The sum, or another aggregate, for each value of the labels `by`."""
    return f"{of} by ({by}) ({expression})" if by else f"{of}({expression})"


def quantile(fraction: float, histogram: str, *matchers: str, by: str = "") -> str:
    """The value below which this fraction of the observations is."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({fraction:g}, {rate(f'{histogram}_bucket', *matchers, by=labels)})"


def share(part: str, whole: str) -> str:
    """The part of a whole.

    A label's value, such as the status 500, has no series before it is first counted. So without a part the share is 0,
    but only as long as the whole is there.
    """
    return f"({part} or 0 * {whole}) / {whole}"


def buckets(histogram: str, *matchers: str) -> str:
    """The observations of each bucket, for a heatmap."""
    return total(f"increase({series(f'{histogram}_bucket', *matchers)}{RATE})", by="le")
