"""Which process gets the CPU when there is not enough of it."""

import os
from contextlib import suppress
from pathlib import Path

NICE = 10
_AUTOGROUP = Path("/proc/self/autogroup")


def lower_priority() -> None:
    """Let other processes go first, for good; child processes inherit it.

    Where Linux shares the CPU between sessions (sched(7), "The autogroup feature"), `nice` counts only within a
    session, so the session's own value is set too, if this process leads it.
    """
    os.nice(NICE)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # no such feature, as in containers, where the operator sets shares
            _AUTOGROUP.write_text(str(NICE))
