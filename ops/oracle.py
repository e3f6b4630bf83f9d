"""The oracle: recomputes readers' feeds from the owners' records, walks the real ones, and names every difference."""

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from prometheus_client import Counter, Gauge

from libs.common.ids import id_time_ms, now_ms
from libs.common.runtime.auth import ServiceTokens
from libs.common.runtime.errors import NotFoundError
from libs.common.runtime.http import ServiceClient
from libs.common.runtime.settings import Settings
from ops.judge import Expectation, Fault, Finding, judge
from ops.progress import say
from ops.records import PATIENT, Records, window_start

GRACE_S = 70  # a younger post may still be on its way, or left out of a page that was kept for 60 s
DELIVERED_S = 10  # the same without kept pages
SLOWEST_MS = 600_000  # the slow lane is through by then; what is not was lost, in a dead letter perhaps
PAGE = 100
ORDERS = ("ranked", "chronological")
CHECKED = Counter("feedmill_oracle_feeds_total", "Feeds that were recomputed and compared.", ["outcome"])
FAULTS = Counter("feedmill_oracle_faults_total", "Items that were wrong.", ["fault"])
LAST_CLEAN = Gauge("feedmill_oracle_last_clean_time", "When a feed was last found right, Unix seconds.")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one feed in one order; `causes` as the feed service explains the post."""

    reader_id: int
    order: str
    item_count: int
    findings: list[Finding]
    causes: dict[int, str]


class Oracle:
    """Asks the owners through their internal routes, and reads feeds as their readers would.

    With `fresh`, kept pages are passed over; then `grace_s` need only be the time that a post takes to its feeds.
    """

    def __init__(self, settings: Settings, *, grace_s: float = GRACE_S, fresh: bool = False) -> None:
        tokens = ServiceTokens(settings.internal_secret.get_secret_value(), "ops")
        self._records = Records(settings)
        self._feed = ServiceClient("feed", settings, tokens, PATIENT)
        self._grace_ms = grace_s * 1_000
        self._fresh = fresh

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._feed.close()
        await self._records.__aexit__(*exception)

    async def readers(self, count: int) -> list[int]:
        """Some who read their feed of late, at random."""
        ids: list[int] = (await self._feed.get("/internal/feed/readers"))["ids"]
        return random.sample(ids, min(count, len(ids)))

    async def check(self, reader_id: int) -> list[Verdict]:
        """Both orders."""
        return [await self._check(reader_id, order) for order in ORDERS]

    async def _check(self, reader_id: int, order: str) -> Verdict:
        """The records are read before and after: what changed between is not held against the feed."""
        before = await self._expected(reader_id)
        walked = await self._walk(reader_id, order)
        after = await self._expected(reader_id)
        shown = [p for p in walked if p >= window_start()]
        expected = Expectation(
            must=frozenset(before & after),
            may=frozenset(before | after),
            hidden=frozenset(await self._records.published(set(shown) - before - after)),
            falls=order == "chronological",
        )
        findings = judge(shown, expected)
        findings = await self._not_on_their_way(reader_id, findings)
        causes = {one.post_id: await self.explain(reader_id, one.post_id) for one in findings}
        CHECKED.labels("faulty" if findings else "clean").inc()
        for one in findings:
            FAULTS.labels(one.fault).inc()
        if not findings:
            LAST_CLEAN.set(time.time())
        return Verdict(reader_id, order, len(shown), findings, {p: str(c.get("reason")) for p, c in causes.items()})

    async def explain(self, reader_id: int, post_id: int) -> dict[str, Any]:
        """As the feed service says; empty for what it says nothing of."""
        try:
            answer: dict[str, Any] = await self._feed.get(f"/internal/feed/{reader_id}/explain/{post_id}")
        except NotFoundError:
            return {}
        return answer

    async def _expected(self, reader_id: int) -> set[int]:
        """What the feed must hold by the records of this moment."""
        followees = await self._records.followees(reader_id)
        return set(await self._records.posts({reader_id, *followees.all}))

    async def _walk(self, reader_id: int, order: str) -> list[int]:
        """Ids from the first page to the end of the window."""
        shown: list[int] = []
        params: dict[str, Any] = {"order": order, "limit": PAGE, "fresh": self._fresh}
        while True:
            page = await self._feed.get(f"/internal/feed/{reader_id}", params)
            shown += [int(post["post_id"]) for post in page["posts"]]
            is_past = order == "chronological" and bool(shown) and shown[-1] < window_start()
            if page["next_cursor"] is None or is_past:
                return shown
            params["cursor"] = page["next_cursor"]

    async def _not_on_their_way(self, reader_id: int, findings: Iterable[Finding]) -> list[Finding]:
        """Without missing posts that are young, or that fan-out is busy with and not for too long."""
        faults = []
        for one in findings:
            if one.fault is Fault.MISSING:
                age_ms = now_ms() - id_time_ms(one.post_id)
                if age_ms < self._grace_ms:
                    continue
                reason = (await self.explain(reader_id, one.post_id)).get("reason")
                if age_ms < SLOWEST_MS and reason in ("being_delivered", "not_taken_in"):
                    continue
            faults.append(one)
        return faults


def report(verdict: Verdict) -> list[str]:
    """A line for the feed, and one for each fault."""
    head = f"reader {verdict.reader_id}, {verdict.order}: {verdict.item_count} items"
    if not verdict.findings:
        return [f"{head}, all right"]
    faults = [f"  {one.fault} {one.post_id}: {verdict.causes.get(one.post_id)}" for one in verdict.findings]
    return [f"{head}, {len(faults)} faults", *faults]


async def run(reader_ids: Sequence[int], sample: int, every_s: float | None, *, fresh: bool) -> int:
    """Check these readers, or some at random, once or for ever; the number of faults."""
    faults = 0
    async with Oracle(Settings(), grace_s=DELIVERED_S if fresh else GRACE_S, fresh=fresh) as oracle:
        while True:
            for reader_id in reader_ids or await oracle.readers(sample):
                for verdict in await oracle.check(reader_id):
                    faults += len(verdict.findings)
                    for line in report(verdict):
                        say(line)
            if every_s is None:
                return faults
            await asyncio.sleep(every_s)
