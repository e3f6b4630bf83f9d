"""One printed line per step, with the seconds since the command began."""

import time

_BEGAN_AT = time.monotonic()


def step(text: str) -> None:
    """Say that something is done."""
    print(f"{time.monotonic() - _BEGAN_AT:6.1f}s  {text}", flush=True)
