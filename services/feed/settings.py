"""Settings of the feed service."""

from pydantic import Field

from libs.common.core.settings import Settings


class FeedSettings(Settings):
    """The settings of the feed service, with the common ones."""

    feed_buckets: int = Field(
        default=16,
        ge=1,
        le=16_384,
        description="number of buckets of feed lists; it must equal that of the fan-out worker",
    )
    window_days: int = Field(default=7, ge=1, le=7, description="older posts are not in the ranked feed")
    page_cache_s: int = Field(
        default=60, ge=0, description="maximum age of a cached first page; 0: pages are not cached"
    )
    feeds_a_minute: int = Field(
        default=60, ge=0, description="pages that a user may read; nobody scrolls faster than one a second; 0: no limit"
    )
    session_s: int = Field(default=3_600, ge=60, description="time to live of a pinned order after its last use")
