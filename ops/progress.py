"""Lines for whoever waits."""

import time

_STARTED = time.monotonic()


def say(text: str) -> None:
    """One line, with the seconds since the start."""
    print(f"{time.monotonic() - _STARTED:6.1f}s  {text}", flush=True)
