"""A cache of counts in front of the ledger."""

from collections.abc import Mapping, Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.common.core.logging import get_logger
from libs.common.stores.redis import get_many
from libs.contracts.public import Counts
from libs.telemetry.caches import count_reads
from services.interaction.domain import CountWithMember, MarkKind
from services.interaction.ports import CountLedger

TTL_S = 3_600  # (docs/figures.md)
log = get_logger(__name__)


class CachedLedger:
    """A ledger that reads counts from Redis first. The counters worker updates them there with every count."""

    def __init__(self, ledger: CountLedger, redis: "Redis", prefix: str) -> None:
        self._ledger = ledger
        self._redis = redis
        self._prefix = prefix

    async def counted(self, target_id: int, kind: MarkKind, member: int) -> CountWithMember:
        return await self._ledger.counted(target_id, kind, member)

    async def comment_likes(self, comment_ids: Sequence[int]) -> Mapping[int, int]:
        return await self._ledger.comment_likes(comment_ids)

    async def counts(self, post_ids: Sequence[int]) -> Mapping[int, Counts]:
        cached = await self.cached(post_ids)
        missing = [post_id for post_id in post_ids if post_id not in cached]
        count_reads("counts", hits=len(post_ids) - len(missing), misses=len(missing))
        if not missing:
            return cached
        found = await self._ledger.counts(missing)
        await self._fill(found)
        return {**cached, **found}

    async def _fill(self, found: Mapping[int, Counts]) -> None:
        """Write counts that are absent. Sequence 0 lets every later count of the worker replace them."""
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for post_id, c in found.items():
                    value = f"0 {c.like_count} {c.comment_count} {c.save_count} {c.view_count}"
                    pipe.set(f"{self._prefix}counts:{post_id}", value, ex=TTL_S, nx=True)
                await pipe.execute()
        except RedisError as error:
            log.warning("counts_not_cached", error=repr(error))

    async def cached(self, post_ids: Sequence[int]) -> dict[int, Counts]:
        try:
            raws = await get_many(self._redis, [f"{self._prefix}counts:{post_id}" for post_id in post_ids])
        except RedisError as error:
            log.warning("counts_cache_unreadable", error=repr(error))
            return {}
        return {post_id: _counts(raw) for post_id, raw in zip(post_ids, raws, strict=True) if raw}


def _counts(raw: bytes | str) -> Counts:
    """Return the counts of a value `sequence like comment save view`. The counters worker needs the sequence."""
    _, like, comment, save, view = map(int, raw.split())
    return Counts(like_count=like, comment_count=comment, save_count=save, view_count=view)
