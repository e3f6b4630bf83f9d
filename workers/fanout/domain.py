"""The backpressure level from the lag. Pure."""

from dataclasses import dataclass
from enum import IntEnum

CALM = 0.5  # of a level's threshold: the lag below which it ends, so that it does not come and go


class Level(IntEnum):
    """What fan-out does about its lag."""

    NORMAL = 0
    BEHIND = 1
    """More workers are asked for; nothing else changes."""
    ACTIVE_ONLY = 2
    """Lists that were not read for 24 h are let go."""
    PULL = 3
    """Nothing is pushed: posts go into a gap, which readers pull."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Messages of lag above which each level begins, and below which level 3 ends.

    Raises:
        ValueError: they do not rise.
    """

    level1: int
    level2: int
    level3: int
    resume: int

    def __post_init__(self) -> None:
        if not 0 < self.level1 < self.level2 < self.level3 or not 0 < self.resume <= self.level3:
            raise ValueError("backpressure thresholds must rise, and resume be at most the last")

    def begins(self, lag: int) -> Level:
        """The level that this lag alone asks for."""
        return Level(sum(lag > threshold for threshold in (self.level1, self.level2, self.level3)))

    def ends(self, level: Level, lag: int) -> bool:
        """Whether the lag is so small that the level may be left."""
        return lag < (0, CALM * self.level1, CALM * self.level2, self.resume)[level]


def next_level(level: Level, lag: int, thresholds: Thresholds) -> Level:
    """Up to where the lag asks for at once; down by one, and only when the lag is well below."""
    asked = thresholds.begins(lag)
    if asked >= level or not thresholds.ends(level, lag):
        return max(asked, level)
    return Level(level - 1)
