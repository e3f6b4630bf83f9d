"""Checks that each acknowledged write is there once."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.load import Person, Promises, Request
from libs.common.core.console import columns
from libs.common.testing.eventually import eventually
from ops.client import Api, ApiFailure

RECOVERY_S = 5.0  # breakers ask again at least every 3 s (ADR 11), and who was refused asks again, too
SETTLED_S = 90.0  # a consumer that was killed or frozen may wait for its session to end, and its relay for its grace


@dataclass(frozen=True, slots=True)
class Verdict:
    """A row. `outside` are reads that failed before the fault and after the recovery.

    `recovery_s` is from the moment the part answers again to the last answer that was not as usual; None if that never
    ended.
    """

    fault: str
    requests: int
    failed: int
    outside: int
    degraded: int
    lost: int
    doubled: int
    recovery_s: float | None

    @property
    def is_clean(self) -> bool:
        """Nothing lost, nothing doubled, back to normal in time, and no read failed but while the fault lasted."""
        recovered = self.recovery_s is not None and self.recovery_s <= RECOVERY_S
        return recovered and not (self.lost or self.doubled or self.outside)


def outside(requests: Sequence[Request], begun: float, recovered: float) -> int:
    """Count the reads that failed outside the fault and the recovery."""
    return sum(one.is_read and one.failed and not begun <= one.at <= recovered for one in requests)


async def settle(api: Api, people: Sequence[Person], promises: Promises) -> tuple[int, int] | None:
    """Return the numbers of lost and doubled writes, once everything has arrived or the deadline has passed.

    Return None if nobody could be asked.
    """
    found: tuple[int, int] | None = None

    async def clean() -> bool:
        nonlocal found
        with contextlib.suppress(ApiFailure):  # a breaker may still be open
            found = await _difference(api, people, promises)
        return found == (0, 0)

    with contextlib.suppress(AssertionError):
        await eventually(clean, SETTLED_S)
    return found


async def _difference(api: Api, people: Sequence[Person], promises: Promises) -> tuple[int, int]:
    lost = doubled = 0
    oldest = min(map(int, promises.posts), default=0)
    for person in people:
        times = await _shown(api, person, oldest)
        lost += sum(times[post_id] == 0 for post_id in promises.posts)
        doubled += sum(times[post_id] > 1 for post_id in times)
    for post_id in promises.posts:
        try:
            shown = (await api.call("GET", f"/posts/{post_id}", people[0].account))["engagement"]
        except ApiFailure as failure:
            if failure.code != "not_found":
                raise
            lost += 1
            continue
        likes, comments = len(promises.likes.get(post_id, ())), promises.comments.get(post_id, 0)
        for count, wanted_count in ((shown["like_count"], likes), (shown["comment_count"], comments)):
            lost += max(0, wanted_count - count)
            doubled += max(0, count - wanted_count)
    return lost, doubled


async def _shown(api: Api, person: Person, oldest: int) -> Counter[str]:
    """Return how often each post is in the feed, down to the oldest one asked for."""
    times = Counter[str]()
    async for page in api.pages("/feed", "posts", person.account, order="chronological", limit=100):
        times.update(post["post_id"] for post in page)
        if not page or int(page[-1]["post_id"]) < oldest:
            break
    return times


def table(rows: Sequence[Verdict]) -> str:
    """Fault, requests, failed, degraded, lost, doubled, recovery."""
    head = ("fault", "requests", "failed", "outside", "degraded", "lost", "doubled", "recovery")
    return columns([head, *map(_cells, rows)])


def _cells(row: Verdict) -> Sequence[str]:
    recovery = "none" if row.recovery_s is None else f"{row.recovery_s:.1f} s"
    numbers = (row.requests, row.failed, row.outside, row.degraded, row.lost, row.doubled)
    return (row.fault, *map(str, numbers), recovery)
