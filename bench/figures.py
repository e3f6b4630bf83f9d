"""What is measured, and how it is printed."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from libs.common.core.console import columns


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds; `rate` is requests a second, where many ran at a time, `cpu_ms` CPU a request, where known."""

    p50: float
    p99: float
    count: int
    rate: float = 0.0
    cpu_ms: float = 0.0

    @classmethod
    def of(cls, seconds: Sequence[float], elapsed_s: float = 0.0, cpu_s: float = 0.0) -> "Latency":
        """Summarise single times, the total time and the total CPU."""
        cuts, count = quantiles(seconds, n=100, method="inclusive"), len(seconds)
        rate = count / elapsed_s if elapsed_s else 0.0
        return cls(cuts[49] * 1_000, cuts[98] * 1_000, count, rate, cpu_s / count * 1_000)


@dataclass(frozen=True, slots=True)
class Row:
    """A figure and its reference, both of this run. `ratio` is figure / reference where that is meaningful."""

    what: str
    figure: str
    reference: str = ""
    ratio: float | None = None


def rows_of(what: str, ours: Latency, reference: Latency) -> list[Row]:
    """p50, p99 and, if known, the rate."""
    rows = [
        Row(f"{what}, p50", f"{ours.p50:.1f} ms", f"{reference.p50:.1f} ms", ours.p50 / reference.p50),
        Row(
            f"{what}, p99 of {ours.count:,}", f"{ours.p99:.1f} ms", f"{reference.p99:.1f} ms", ours.p99 / reference.p99
        ),
    ]
    if ours.rate and reference.rate:
        rate = Row(f"{what}, rate", f"{ours.rate:,.0f}/s", f"{reference.rate:,.0f}/s", ours.rate / reference.rate)
        rows.append(rate)
    if ours.cpu_ms and reference.cpu_ms:
        cost = (f"{ours.cpu_ms:.2f} ms", f"{reference.cpu_ms:.2f} ms", ours.cpu_ms / reference.cpu_ms)
        rows.append(Row(f"{what}, CPU a request", *cost))
    return rows


def table(rows: Sequence[Row]) -> str:
    """Format the rows in columns."""
    cells = [("", "Feedmill", "reference", "ratio")]
    cells += [(row.what, row.figure, row.reference, "" if row.ratio is None else f"{row.ratio:.2f}") for row in rows]
    return columns(cells)
