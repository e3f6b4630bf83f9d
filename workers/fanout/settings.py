"""Settings of the fan-out worker."""

from pydantic import Field

from libs.common.runtime.settings import Settings


class FanoutSettings(Settings):
    """Common settings and these."""

    feed_buckets: int = Field(default=16, ge=1, le=16_384, description="part of the feed lists' layout")
    chunk_followers: int = Field(
        default=8_000, ge=1, description="followers in one chunk: 500 a bucket and call, some 30 ms of work"
    )
