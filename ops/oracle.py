"""The oracle recomputes feeds from the owners' records, pages through the real ones and names every difference."""

import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from libs.common.core.console import say
from libs.common.core.ids import id_time_ms, now_ms
from libs.common.core.settings import Settings
from libs.contracts.internal.feed import FeedPageView, FeedReason
from libs.telemetry.metrics import counter, gauge
from ops.feeds import open_feeds
from ops.judge import Expectation, Fault, Finding, judge
from ops.records import Followees, Records, window_start

GRACE_S = 70  # a younger post may not be delivered yet, or not be on a page that was cached for 60 s
DELIVERED_S = 10  # the same without cached pages
SLOWEST_MS = 600_000  # the slow lane has finished by then; a missing post is lost, perhaps in a dead letter
ORDERS = ("ranked", "chronological")
CHECKED = counter("feedmill_oracle_feeds_total")
FAULTS = counter("feedmill_oracle_faults_total")
LAST_CLEAN = gauge("feedmill_oracle_last_clean_time_seconds")


class Owners(Protocol):
    """The records of the user and post services. Raises UnavailableError."""

    async def followees(self, reader_id: int) -> Followees: ...

    async def posts(self, author_ids: Iterable[int]) -> Mapping[int, int]: ...

    async def published(self, post_ids: Iterable[int]) -> set[int]: ...


class Feeds(Protocol):
    """Feeds as their readers get them. Raises UnavailableError."""

    async def readers(self) -> list[int]:
        """Return some recent readers."""

    async def page(self, reader_id: int, order: str, cursor: str | None, *, fresh: bool) -> FeedPageView:
        """Return a page as the public API answers it. With `fresh`, cached pages are ignored."""

    async def explain(self, reader_id: int, post_id: int) -> FeedReason | None:
        """Explain a post. Return None if it does not exist or the reader may not see it."""


@dataclass(frozen=True, slots=True)
class Walk:
    """The posts on all pages of a feed, and whether every page said that it was `complete`."""

    order: str
    post_ids: list[int]
    complete: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The findings on one feed in one order. `causes` has the feed service's explanation of each post.

    Missing posts are no finding in a feed that says that it is not `complete`.
    """

    reader_id: int
    order: str
    item_count: int
    findings: list[Finding]
    causes: dict[int, str]
    complete: bool


class Oracle:
    """Reads the owners' records, and reads feeds as their readers do.

    With `fresh`, cached pages are bypassed. Then `grace_s` need only cover the delivery of a post.
    """

    def __init__(
        self,
        owners: Owners,
        feeds: Feeds,
        *,
        grace_s: float = GRACE_S,
        fresh: bool = False,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._owners = owners
        self._feeds = feeds
        self._grace_ms = grace_s * 1_000
        self._fresh = fresh
        self._clock_ms = clock_ms

    async def readers(self, count: int) -> list[int]:
        """Return some recent readers, chosen at random."""
        ids = await self._feeds.readers()
        return random.sample(ids, min(count, len(ids)))

    async def check(self, reader_id: int) -> list[Verdict]:
        """Check both orders. The records are read before and after, and a change in between is no fault."""
        before = await self._expected(reader_id)
        walks = [await self._walk(reader_id, order) for order in ORDERS]
        after = await self._expected(reader_id)
        return [await self._verdict(reader_id, walk, before, after) for walk in walks]

    async def _verdict(self, reader_id: int, walk: Walk, before: set[int], after: set[int]) -> Verdict:
        start = window_start()
        shown = [p for p in walk.post_ids if p >= start]
        expected = Expectation(
            must=frozenset(p for p in before & after if p >= start) if walk.complete else frozenset(),
            may=frozenset(before | after),
            hidden=frozenset(await self._owners.published(set(shown) - before - after)),
            falls=walk.order == "chronological",
        )
        findings = await self._not_on_their_way(reader_id, judge(shown, expected))
        causes = {one.post_id: str(await self._reason(reader_id, one.post_id)) for one in findings}
        CHECKED.labels("faulty" if findings else "clean" if walk.complete else "skipped").inc()
        for one in findings:
            FAULTS.labels(one.fault).inc()
        if walk.complete and not findings:
            LAST_CLEAN.set(time.time())
        return Verdict(reader_id, walk.order, len(shown), findings, causes, walk.complete)

    async def _reason(self, reader_id: int, post_id: int) -> str | None:
        found = await self._feeds.explain(reader_id, post_id)
        return found.reason if found else None

    async def _expected(self, reader_id: int) -> set[int]:
        """Return the ids that the feed must hold by the current records."""
        followees = await self._owners.followees(reader_id)
        return set(await self._owners.posts({reader_id, *followees.all}))

    async def _walk(self, reader_id: int, order: str) -> Walk:
        """Read from the first page to the end of the window. Stop at a page without new posts."""
        shown, complete, cursor = list[int](), True, None
        while True:
            page = await self._feeds.page(reader_id, order, cursor, fresh=self._fresh)
            found = [post.post_id for post in page.posts]
            in_circles, cursor = set(found) <= set(shown), page.next_cursor
            shown += found
            complete &= page.coverage.complete
            is_past = order == "chronological" and bool(shown) and shown[-1] < window_start()
            if cursor is None or is_past or in_circles:
                return Walk(order, shown, complete)

    async def _not_on_their_way(self, reader_id: int, findings: Iterable[Finding]) -> list[Finding]:
        """Leave out missing posts that are young, or that fan-out is still delivering within the limit."""
        faults = []
        for one in findings:
            if one.fault is Fault.MISSING:
                age_ms = self._clock_ms() - id_time_ms(one.post_id)
                if age_ms < self._grace_ms:
                    continue
                reason = await self._reason(reader_id, one.post_id)
                if age_ms < SLOWEST_MS and reason in ("being_delivered", "not_taken_in"):
                    continue
            faults.append(one)
        return faults


@asynccontextmanager
async def open_oracle(settings: Settings, *, grace_s: float = GRACE_S, fresh: bool = False) -> AsyncIterator[Oracle]:
    """Open an oracle that reads the running system through its internal routes."""
    async with Records(settings) as records, open_feeds(settings) as feeds:
        yield Oracle(records, feeds, grace_s=grace_s, fresh=fresh)


def report(verdict: Verdict) -> list[str]:
    """Return a line for the feed, and one for each fault."""
    head = f"reader {verdict.reader_id}, {verdict.order}: {verdict.item_count} items"
    if not verdict.complete:
        head += ", and it says that some are missing"
    if not verdict.findings:
        return [f"{head}, all right"]
    faults = [f"  {one.fault} {one.post_id}: {verdict.causes.get(one.post_id)}" for one in verdict.findings]
    return [f"{head}, {len(faults)} faults", *faults]


async def run(reader_ids: Sequence[int], sample: int, *, fresh: bool) -> int:
    """Check these readers, or some at random. Return the number of faults."""
    faults = 0
    async with open_oracle(Settings(), grace_s=DELIVERED_S if fresh else GRACE_S, fresh=fresh) as oracle:
        for reader_id in reader_ids or await oracle.readers(sample):
            for verdict in await oracle.check(reader_id):
                faults += len(verdict.findings)
                for line in report(verdict):
                    say(line)
    return faults
