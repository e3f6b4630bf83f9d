"""Cache invalidation: stamps in Redis that cached values were built under, and stale values for outages."""

from libs.invalidation.stale_cache import LastShown, Still
from libs.invalidation.stamps import ACT_S, LAST_KNOWN_S, Acts

__all__ = ["ACT_S", "LAST_KNOWN_S", "Acts", "LastShown", "Still"]
