"""`python -m libs.telemetry write|check`: docs/metrics.md, from the catalog of metrics."""

import sys
from pathlib import Path

from libs.telemetry.catalog import AREAS, EVERY, Metric

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
UNITS = {"_time_seconds": "Unix time, s", "_seconds": "s", "_bytes": "bytes", "_messages": "messages"}


def page() -> str:
    """Return the tables of all metrics, as Markdown."""
    lines = [
        "# Metrics",
        "",
        "Generated from `libs/telemetry/catalog.py` by `make contracts`. Each process serves its metrics",
        "at `/metrics`. Prometheus adds the label `job`, the name of the deployable.",
        "In the OpenMetrics format, the times of requests, calls and queries have exemplars: a `trace_id` each.",
        "",
        "- A label without values here gets them at run time, such as the names of routes.",
        "- A histogram is exported as `_bucket`, `_sum` and `_count`. Its upper bounds are behind the unit.",
        "- A metric that needs an event has no data, or stays at 0, until that event.",
    ]
    for area, metrics in AREAS.items():
        lines += [
            "",
            f"## {area}",
            "",
            "| name | kind | labels | exported by | unit, buckets | meaning | needs an event |",
            "|---|---|---|---|---|---|---|",
            *map(_row, metrics),
        ]
    return "\n".join(lines) + "\n"


def _row(metric: Metric) -> str:
    labels = "; ".join(
        f"`{label}`: {', '.join(f'`{value}`' for value in values)}" if values else f"`{label}`"
        for label, values in metric.labels.items()
    )
    jobs = "all" if metric.jobs == EVERY else ", ".join(f"`{job}`" for job in metric.jobs)
    buckets = ", ".join(f"{bound:,}" for bound in metric.buckets)
    unit = ": ".join(filter(None, [_unit(metric.name), buckets]))
    cells = [f"`{metric.name}`", metric.kind, labels, jobs, unit, metric.text, metric.event]
    return f"| {' | '.join(cells)} |"


def _unit(name: str) -> str:
    return next((unit for suffix, unit in UNITS.items() if name.removesuffix("_total").endswith(suffix)), "")


def write() -> int:
    """Write the page."""
    PAGE.write_text(page())
    return 0


def check() -> int:
    """Fail when the page is out of date."""
    if PAGE.is_file() and PAGE.read_text() == page():
        return 0
    print("out of date, run `make contracts`: metrics.md")
    return 1


if __name__ == "__main__":
    sys.exit({"write": write, "check": check}[sys.argv[1]]())
