"""The CPU priority of a process."""

import os
from contextlib import suppress
from pathlib import Path

NICE = 10
_AUTOGROUP = Path("/proc/self/autogroup")


def lower_priority() -> None:
    """Lower the priority of this process permanently; child processes inherit it.

    Linux may share the CPU between sessions (sched(7), "The autogroup feature"). Then `nice` has an effect only within
    a session, so the value of the session is set too if this process leads it.
    """
    os.nice(NICE)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # there is no autogroup in containers, where the operator sets CPU shares
            _AUTOGROUP.write_text(str(NICE))
