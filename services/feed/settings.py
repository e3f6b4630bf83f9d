"""Settings of the feed service."""

from pydantic import Field

from libs.common.core.settings import Settings


class FeedSettings(Settings):
    """Common settings and these."""

    feed_buckets: int = Field(default=16, ge=1, le=16_384, description="part of the feed lists' layout")
    window_days: int = Field(default=7, ge=1, le=7, description="older posts are not in the feed")
    page_cache_s: int = Field(default=60, ge=0, description="how long an assembled first page may be served again")
    feeds_a_minute: int = Field(
        default=60, ge=0, description="pages a user may read: nobody scrolls faster than one a second; 0: no limit"
    )
    session_s: int = Field(default=3_600, ge=60, description="how long a ranked order stays pinned after its last use")
