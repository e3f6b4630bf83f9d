"""The rules for the backpressure level, as pure functions."""

from dataclasses import dataclass

from libs.feedlists.levels import BackpressureLevel

CALM = 0.5  # a level ends below this share of its threshold, so that it does not flap


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The lag, in messages, above which each level begins, and below which level 3 ends.

    Raises:
        ValueError: the thresholds do not rise.
    """

    level1: int
    level2: int
    level3: int
    resume: int

    def __post_init__(self) -> None:
        if not 0 < self.level1 < self.level2 < self.level3 or not 0 < self.resume <= self.level3:
            raise ValueError("backpressure thresholds must rise, and resume be at most the last")

    def begins(self, lag: int) -> BackpressureLevel:
        """The level for this lag, whatever the current level is."""
        return BackpressureLevel(sum(lag > threshold for threshold in (self.level1, self.level2, self.level3)))

    def ends(self, level: BackpressureLevel, lag: int) -> bool:
        """True if the lag is small enough to leave the level."""
        return lag < (0, CALM * self.level1, CALM * self.level2, self.resume)[level]


def next_level(level: BackpressureLevel, lag: int, thresholds: Thresholds) -> BackpressureLevel:
    """The level rises at once to that of the lag. It falls by one, and only if the lag is well below its threshold."""
    target = thresholds.begins(lag)
    if target >= level or not thresholds.ends(level, lag):
        return max(target, level)
    return BackpressureLevel(level - 1)
