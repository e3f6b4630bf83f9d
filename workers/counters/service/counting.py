"""Exact counts of posts and comments."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence

from libs.contracts.events import PostCounted
from libs.contracts.public import CommentCountKind, CountKind
from libs.telemetry.metrics import counter
from workers.counters.domain import CommentPlace, MembershipChange, apply_changes, write_time
from workers.counters.ports import CountsTopic, CountsWriter, MembershipLedger

COUNTED = counter("feedmill_counters_memberships_total")

MembershipChanges = Sequence[tuple[CountKind, MembershipChange]]


class PostCounters:
    """Applies membership changes to the ledger and publishes absolute counts. All calls may be repeated."""

    def __init__(self, ledger: MembershipLedger, cache: CountsWriter, topic: CountsTopic, epoch: int) -> None:
        self._ledger = ledger
        self._cache = cache
        self._topic = topic
        self._epoch = epoch

    async def apply(
        self, post_id: int, changes: MembershipChanges, last_offset: int, recounted: Collection[CountKind] = frozenset()
    ) -> None:
        """Apply the changes of one post and publish its counts.

        Args:
            post_id: the post.
            changes: with the kind of count that each belongs to.
            last_offset: the offset of the last event that is applied.
            recounted: kinds whose totals are counted again from all members.

        Raises:
            UnavailableError, redis.RedisError: some of the work is not done; call again.
        """
        at = write_time(self._epoch, last_offset)
        by_kind: dict[CountKind, list[MembershipChange]] = defaultdict(list, {kind: [] for kind in recounted})
        for kind, change in changes:
            by_kind[kind].append(change)
        await asyncio.gather(
            *(self._apply(post_id, kind, of_kind, at, recount=kind in recounted) for kind, of_kind in by_kind.items())
        )
        totals = await self._ledger.totals(post_id)
        counted = PostCounted(
            post_id=post_id,
            sequence=at,
            like_count=totals[CountKind.LIKE],
            comment_count=totals[CountKind.COMMENT],
            save_count=totals[CountKind.SAVE],
            view_count=totals[CountKind.VIEW],
        )
        await self._topic.publish(counted)
        await self._cache.put(counted)  # errors are raised, because Redis may still have the old counts

    async def apply_likes(self, place: CommentPlace, changes: Sequence[MembershipChange], last_offset: int) -> None:
        """Apply the likes of one comment. Raises UnavailableError."""
        page = await self._ledger.read(place.comment_id, CommentCountKind.LIKE, {change.member for change in changes})
        update = apply_changes(page.members, page.total, changes)
        if update.members:
            await self._ledger.write_likes(place, page.total, update, write_time(self._epoch, last_offset))
            COUNTED.labels(CommentCountKind.LIKE).inc(len(update.members))

    async def _apply(
        self, post_id: int, kind: CountKind, changes: Sequence[MembershipChange], at: int, *, recount: bool
    ) -> None:
        read = self._ledger.recount if recount else self._ledger.read
        page = await read(post_id, kind, {change.member for change in changes})
        update = apply_changes(page.members, page.total, changes)
        if update.members or recount:
            await self._ledger.write(post_id, kind, update, at)
            COUNTED.labels(kind).inc(len(update.members))
