"""Settings of the fan-out worker."""

from pydantic import Field

from libs.common.core.settings import Settings
from workers.fanout.domain import Thresholds


class FanoutSettings(Settings):
    """Common settings and these."""

    feed_buckets: int = Field(default=16, ge=1, le=16_384, description="part of the feed lists' layout")
    chunk_followers: int = Field(
        default=8_000, ge=1, le=10_000, description="followers in one chunk: 500 a bucket and call, some 30 ms of work"
    )
    slow_lane_from: int = Field(
        default=10_000, ge=1, description="followers from which push authors go through the slow lane"
    )
    slow_lane_rate: int = Field(
        default=100_000,
        ge=1,
        description="feed updates/s of the slow lane, over all workers",
    )
    backpressure_level1: int = Field(default=100_000, description="messages of lag: more workers are wanted")
    backpressure_level2: int = Field(default=500_000, description="messages of lag: only active readers are served")
    backpressure_level3: int = Field(default=1_000_000, description="messages of lag: nothing is pushed")
    backpressure_resume: int = Field(default=100_000, description="messages of lag below which level 3 ends")

    def thresholds(self) -> Thresholds:
        """Raises ValueError when they do not rise."""
        return Thresholds(
            self.backpressure_level1, self.backpressure_level2, self.backpressure_level3, self.backpressure_resume
        )
