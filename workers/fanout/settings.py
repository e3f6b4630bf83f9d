"""Settings of the fan-out worker."""

from pydantic import Field

from libs.common.core.settings import Settings
from workers.fanout.domain import Thresholds


class FanoutSettings(Settings):
    """The settings of the fan-out worker."""

    feed_buckets: int = Field(
        default=16, ge=1, le=16_384, description="buckets of the feed lists; part of their storage layout"
    )
    chunk_followers: int = Field(default=8_000, ge=1, le=10_000, description="followers per chunk: about 30 ms of work")
    slow_lane_from: int = Field(
        default=10_000, ge=1, description="authors with at least this many followers use the slow lane"
    )
    slow_lane_rate: int = Field(
        default=100_000,
        ge=1,
        description="feed updates per second in the slow lane, over all workers",
    )
    backpressure_level1: int = Field(default=100_000, description="lag in messages: more workers are needed")
    backpressure_level2: int = Field(default=500_000, description="lag in messages: posts go only to active readers")
    backpressure_level3: int = Field(default=1_000_000, description="lag in messages: no posts are pushed")
    backpressure_resume: int = Field(default=100_000, description="lag in messages below which level 3 ends")

    def thresholds(self) -> Thresholds:
        """The backpressure thresholds. Raises ValueError if they do not rise."""
        return Thresholds(
            self.backpressure_level1, self.backpressure_level2, self.backpressure_level3, self.backpressure_resume
        )
