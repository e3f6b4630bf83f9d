"""Counts reads of caches, so that each cache has a hit ratio."""

from libs.telemetry.metrics import counter

CACHE_READS = counter("feedmill_cache_reads_total")


def count_reads(cache: str, *, hits: int, misses: int) -> None:
    """Count entries that were looked up. `cache` is a name from a small set, such as `feed_page`."""
    CACHE_READS.labels(cache, "hit").inc(hits)
    CACHE_READS.labels(cache, "miss").inc(misses)
