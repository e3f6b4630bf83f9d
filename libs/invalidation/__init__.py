"""Cache invalidation: stamps in Redis that cached values were built under, and stale values for outages."""

from libs.invalidation.recent import FRESH_S, Ask, Recent, RecentPosts
from libs.invalidation.stale_cache import CACHED_MAX, CACHED_S, IsStillValid, StaleIfErrorCache
from libs.invalidation.stamps import LAST_KNOWN_S, STAMP_S, InvalidationStamps
from libs.invalidation.table import Invalidation

__all__ = [
    "CACHED_MAX",
    "CACHED_S",
    "FRESH_S",
    "LAST_KNOWN_S",
    "STAMP_S",
    "Ask",
    "Invalidation",
    "InvalidationStamps",
    "IsStillValid",
    "Recent",
    "RecentPosts",
    "StaleIfErrorCache",
]
