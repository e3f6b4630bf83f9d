"""Compares counts of posts with the records, and has them corrected."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from libs.contracts.events import AuditedMember, CountsAudited
from libs.contracts.internal.interaction import PostAudit
from libs.contracts.public import CountKind, Counts
from libs.contracts.records import EventOutbox, EventRecord
from services.interaction.domain import CountDifference, compare_count
from services.interaction.ports import CachedPostCounts, ReconciliationStore

MEMBERS_COMPARED = 5_000  # a larger count is compared with the number of members only, not with their records
MEMBERS_PER_EVENT = 400  # about 30 KB; Cassandra rejects batches above 50 KB


class Reconciler:
    """Compares counts, and asks the counters worker to correct them.

    Only the worker writes counts, in the order of its partition.
    """

    def __init__(
        self, store: ReconciliationStore, cache: CachedPostCounts, outbox: EventOutbox, mint: Callable[[], int]
    ) -> None:
        self._store = store
        self._cache = cache
        self._outbox = outbox
        self._mint = mint

    async def compare(self, post_ids: Sequence[int]) -> list[PostAudit]:
        """Return the present counts. Events that have not been counted yet show as differences."""
        cached = await self._cache.cached(post_ids)
        return [_post_comparison(post_id, await self._counts(post_id), cached.get(post_id)) for post_id in post_ids]

    async def reconcile(self, post_ids: Sequence[int]) -> None:
        """Request a recount of the posts from their records. Concurrent changes are not lost."""
        for post_id in post_ids:
            counts = await self._counts(post_id)
            for kind, count in counts.items():
                event = self._record(post_id, kind, count)
                await self._store.record([event])
                await self._outbox.committed([event])

    async def _counts(self, post_id: int) -> Mapping[CountKind, CountDifference]:
        differences = await asyncio.gather(*(self._count(post_id, kind) for kind in CountKind))
        return dict(zip(CountKind, differences, strict=True))

    async def _count(self, post_id: int, kind: CountKind) -> CountDifference:
        ledger = await self._store.counted(post_id, kind, MEMBERS_COMPARED)
        if kind is CountKind.VIEW or len(ledger.members) == MEMBERS_COMPARED:
            return CountDifference(ledger.present, ledger.total, {})
        members = {*ledger.members, *await self._store.listed(post_id, kind, MEMBERS_COMPARED)}
        return compare_count(ledger, await self._store.recorded(post_id, kind, members))

    def _record(self, post_id: int, kind: CountKind, count: CountDifference) -> EventRecord:
        members = tuple(
            AuditedMember(member=member, present=state.present, version=state.version)
            for member, state in islice(count.differing.items(), MEMBERS_PER_EVENT)
        )
        payload = CountsAudited(post_id=post_id, kind=kind, members=members)
        return self._outbox.record(payload, f"{post_id}:{kind}", self._mint())


def _post_comparison(post_id: int, counts: Mapping[CountKind, CountDifference], cached: Counts | None) -> PostAudit:
    return PostAudit(
        post_id=post_id,
        recorded=Counts.model_validate({f"{kind}_count": count.recorded for kind, count in counts.items()}),
        counted=Counts.model_validate({f"{kind}_count": count.counted for kind, count in counts.items()}),
        cached=cached,
        differing=sum(len(count.differing) for count in counts.values()),
    )
