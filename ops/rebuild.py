"""Recomputes feed lists from the records beside the live ones, and swaps them."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from libs.common.core.console import say
from libs.common.core.settings import Settings
from libs.common.stores.redis import open_redis
from libs.feedlists import CAP, FeedLists
from ops.records import Records


@dataclass(frozen=True, slots=True)
class Difference:
    """The posts of push authors that a list lacked, and the posts that it should not have."""

    reader_id: int
    missing: frozenset[int]
    extra: frozenset[int]


class Rebuilder:
    """Rebuilds one list at a time. Pushes that arrive in the meantime are not lost."""

    def __init__(self, records: Records, lists: FeedLists) -> None:
        self._records = records
        self._lists = lists

    async def rebuild(self, reader_id: int, *, swap: bool) -> Difference | None:
        """Rebuild one list. Return None if there is no list, because the next read builds one."""
        held = await self._lists.snapshot(reader_id)
        if held is None:
            return None
        followees = await self._records.followees(reader_id)
        posts = await self._records.posts(followees.all)
        newest = sorted(posts, reverse=True)[:CAP]
        is_complete = len(newest) < CAP
        floor = 0 if held.complete else min(held.post_ids, default=0)
        wanted = {p for p in newest if p >= floor and posts[p] not in followees.pull}
        there = await self._records.published(held.post_ids)
        extra = {p for p in held.post_ids if p not in there or (p >= min(newest, default=0) and p not in posts)}
        if swap:
            await self._lists.swap(reader_id, newest, complete=is_complete)
        return Difference(reader_id, frozenset(wanted - set(held.post_ids)), frozenset(extra))


async def run(reader_ids: Sequence[int], buckets: Sequence[int], bucket_count: int, *, swap: bool) -> int:
    """Rebuild the lists of these readers, or of all in these buckets. Return how many differed."""
    settings = Settings()
    checked = differed = 0
    async with Records(settings) as records, open_redis(settings) as redis:
        lists = FeedLists(redis, settings.redis_prefix("feed"), bucket_count)
        rebuilder = Rebuilder(records, lists)
        async for reader_id in _readers(lists, reader_ids, buckets):
            difference = await rebuilder.rebuild(reader_id, swap=swap)
            checked += difference is not None
            if difference and (difference.missing or difference.extra):
                differed += 1
                say(f"reader {reader_id}: {len(difference.missing)} missing, {len(difference.extra)} extra")
    say(f"{checked} lists {'rebuilt' if swap else 'compared'}, {differed} were not as the records say")
    return differed


async def _readers(lists: FeedLists, reader_ids: Sequence[int], buckets: Sequence[int]) -> AsyncIterator[int]:
    for reader_id in reader_ids:
        yield reader_id
    for bucket in buckets:
        async for reader_id in lists.readers(bucket):
            yield reader_id
