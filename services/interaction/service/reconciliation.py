"""Whether counts are what the records say, and the way back when they are not."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from libs.contracts.events import AuditedMember, CountsAudited
from libs.contracts.internal.interaction import PostAudit
from libs.contracts.public import CountKind, Counts
from libs.contracts.records import EventOutbox, EventRecord
from services.interaction.domain import CountAudit, audited
from services.interaction.ports import AuditStore, CountsCache

MEMBERS = 5_000  # of one count that are compared with their records; of more, only the total is with the members
TOLD = 400  # members in one event, some 30 KB: Cassandra takes no batch beyond 50


class Reconciler:
    """Compares, and has the counters worker count anew: it alone writes counts, in the order of its partition."""

    def __init__(self, store: AuditStore, cache: CountsCache, outbox: EventOutbox, mint: Callable[[], int]) -> None:
        self._store = store
        self._cache = cache
        self._outbox = outbox
        self._mint = mint

    async def audit(self, post_ids: Sequence[int]) -> list[PostAudit]:
        """As things are just now: acts that are on their way to the counters differ as well."""
        cached = await self._cache.cached(post_ids)
        return [_post_audit(post_id, await self._counts(post_id), cached.get(post_id)) for post_id in post_ids]

    async def mend(self, post_ids: Sequence[int]) -> None:
        """Have the posts counted anew, from members that are as their records; acts of meanwhile are safe."""
        for post_id in post_ids:
            counts = await self._counts(post_id)
            for kind, count in counts.items():
                event = self._record(post_id, kind, count)
                await self._store.record([event])
                await self._outbox.committed([event])

    async def _counts(self, post_id: int) -> Mapping[CountKind, CountAudit]:
        audits = await asyncio.gather(*(self._count(post_id, kind) for kind in CountKind))
        return dict(zip(CountKind, audits, strict=True))

    async def _count(self, post_id: int, kind: CountKind) -> CountAudit:
        ledger = await self._store.counted(post_id, kind, MEMBERS)
        if kind is CountKind.VIEW or len(ledger.members) == MEMBERS:
            return CountAudit(ledger.present, ledger.total, {})
        members = {*ledger.members, *await self._store.listed(post_id, kind, MEMBERS)}
        return audited(ledger, await self._store.recorded(post_id, kind, members))

    def _record(self, post_id: int, kind: CountKind, count: CountAudit) -> EventRecord:
        members = tuple(
            AuditedMember(member=member, present=truth.present, version=truth.version)
            for member, truth in islice(count.differing.items(), TOLD)
        )
        payload = CountsAudited(post_id=post_id, kind=kind, members=members)
        return self._outbox.record(payload, f"{post_id}:{kind}", self._mint())


def _post_audit(post_id: int, counts: Mapping[CountKind, CountAudit], cached: Counts | None) -> PostAudit:
    return PostAudit(
        post_id=post_id,
        recorded=Counts.model_validate({f"{kind}_count": count.recorded for kind, count in counts.items()}),
        counted=Counts.model_validate({f"{kind}_count": count.counted for kind, count in counts.items()}),
        cached=cached,
        differing=sum(len(count.differing) for count in counts.values()),
    )
