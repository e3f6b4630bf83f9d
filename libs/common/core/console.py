"""Progress lines and tables for a terminal."""

import time
from collections.abc import Sequence

_STARTED = time.monotonic()


def say(text: str) -> None:
    """Print one line, after the seconds since the start."""
    print(f"{time.monotonic() - _STARTED:6.1f}s  {text}", flush=True)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """A table as text: the first column is aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
