"""What is measured, and how it is printed."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from libs.common.core.console import columns

NUMBERS = ("p50", "p99", "rate", "cpu_ms")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit. `low` and `high` are the lowest and the highest of the rounds whose median it is."""

    value: float
    unit: str
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        spread = "" if self.low is None or self.high is None else f" ({_text(self.low)} to {_text(self.high)})"
        return f"{_text(self.value)} {self.unit}{spread}"


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds; `rate` is requests a second, where many ran at a time; `cpu_ms` is CPU a request.

    With `rounds` each number is the median of theirs, and `count` is the sum. Without them the CPU is unknown.
    """

    p50: float
    p99: float
    count: int
    rate: float = 0.0
    cpu_ms: float = 0.0
    rounds: tuple["Latency", ...] = ()

    @classmethod
    def of(cls, seconds: Sequence[float], elapsed_s: float = 0.0, cpu_s: float = 0.0) -> "Latency":
        """Summarise single times, the total time and the total CPU."""
        cuts, count = quantiles(seconds, n=100, method="inclusive"), len(seconds)
        rate = count / elapsed_s if elapsed_s else 0.0
        return cls(cuts[49] * 1_000, cuts[98] * 1_000, count, rate, cpu_s / count * 1_000)

    @classmethod
    def over(cls, rounds: Sequence["Latency"]) -> "Latency":
        """Summarise rounds."""
        p50, p99, rate, cpu_ms = (median(getattr(one, name) for one in rounds) for name in NUMBERS)
        return cls(p50, p99, sum(one.count for one in rounds), rate, cpu_ms, tuple(rounds))

    def figure(self, name: str, unit: str = "ms") -> Figure:
        """Return one of the numbers, with its spread over the rounds."""
        value, values = getattr(self, name), [getattr(one, name) for one in self.rounds]
        return Figure(value, unit, min(values), max(values)) if values else Figure(value, unit)

    def __str__(self) -> str:
        return f"{self.count:,}" + (f" in {len(self.rounds)} rounds" if self.rounds else "")


@dataclass(frozen=True, slots=True)
class Row:
    """A figure and its reference, or limit, both of this run. There is no figure if nothing could be measured.

    `what` is the same in every run with the same parameters. `note` says what differs from run to run.
    """

    what: str
    figure: Figure | None
    reference: Figure | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Return figure / reference, where both exist."""
        if self.figure is None or self.reference is None or not self.reference.value:
            return None
        return self.figure.value / self.reference.value


def rows_of(what: str, ours: Latency, reference: Latency, note: str = "") -> list[Row]:
    """p50, p99 and, if known, the rate and the CPU a request."""
    note = ", ".join(filter(None, (note, str(ours))))
    names = [("p50", "p50", "ms"), ("p99", "p99", "ms")]
    names += [("rate", "rate", "/s")] if ours.rate and reference.rate else []
    names += [("CPU a request", "cpu_ms", "ms")] if ours.rounds and reference.rounds else []
    return [
        Row(f"{what}, {title}", ours.figure(name, unit), reference.figure(name, unit), note)
        for title, name, unit in names
    ]


def table(rows: Sequence[Row]) -> str:
    """Format the rows in columns."""
    cells = [("", "Feedmill", "reference", "ratio", "measured")]
    cells += [(row.what, _or(row.figure, "none"), _or(row.reference), _quotient(row.ratio), row.note) for row in rows]
    return columns(cells)


def side_by_side(old: Sequence[Row], new: Sequence[Row]) -> str:
    """Format Feedmill's figures of two runs in columns. A row of only one run has nothing in the other's column."""
    before, after = ({row.what: row for row in rows} for rows in (old, new))
    cells: list[tuple[str, ...]] = [("", "old", "new", "new / old", "old / reference", "new / reference")]
    for what in dict.fromkeys((*before, *after)):
        was, now = (found.get(what) or Row(what, None) for found in (before, after))
        quotients = (Row(what, now.figure, was.figure).ratio, was.ratio, now.ratio)
        cells.append((what, _or(was.figure), _or(now.figure), *map(_quotient, quotients)))
    return columns(cells)


def _or(figure: Figure | None, other: str = "") -> str:
    return other if figure is None else str(figure)


def _quotient(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _text(value: float) -> str:
    """Return three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
