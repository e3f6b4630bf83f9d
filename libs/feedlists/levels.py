"""The levels of backpressure, without any driver, so that domain code can use them."""

from enum import IntEnum


class BackpressureLevel(IntEnum):
    """The reaction of fan-out to its lag."""

    NORMAL = 0
    BEHIND = 1
    """Only metrics change, so that operators or autoscaling add workers."""
    ACTIVE_ONLY = 2
    """Posts are not pushed to lists that were not read for 24 h; these lists are deleted."""
    PULL = 3
    """No posts are pushed: they go into an unpushed range, from which readers pull them."""
