"""Reconciliation compares every stored count with its records and corrects those that are wrong."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from libs.common.core.console import say
from libs.common.core.settings import Settings
from libs.telemetry.metrics import counter
from ops.counts import PostCounts, UserCounts, open_owners

SETTLE_S = 30.0  # what a killed service left in its outbox is delivered by then: a relay's lease is 15 s
LOOK_AGAIN_S = 0.5
LOOKS = 60  # until the corrections have been counted


class Place(StrEnum):
    """Where a count is stored."""

    LEDGER = "ledger"
    CACHE = "cache"
    POST = "post"
    """The post service's copy."""
    USER = "user"
    """Followers, followees and posts of a user."""
    AUTHORED = "authored"
    """The user service's list of a user's posts."""


DRIFT = counter("feedmill_reconcile_drift_total")
CHECKED = counter("feedmill_reconcile_users_total")


@dataclass(frozen=True, slots=True)
class Drift:
    """A wrong count. `entity_id` is the id of the post or the user."""

    place: Place
    user_id: int
    entity_id: int
    recorded: str
    found: str


class CountOwners(Protocol):
    """The services that store counts. Raises UnavailableError."""

    async def user_ids(self, after_id: int, limit: int = ...) -> list[int]:
        """Return ids of accounts above `after_id`, ascending."""

    async def user(self, user_id: int) -> UserCounts: ...

    async def published(self, author_id: int, known: frozenset[int]) -> set[int]:
        """Return the existing posts of the author. `known` are post ids that another service has stored."""

    async def posts(self, post_ids: Sequence[int]) -> list[PostCounts]: ...

    async def mend_user(self, user_id: int, there: Sequence[int], gone: Sequence[int]) -> None: ...

    async def mend_posts(self, post_ids: Sequence[int]) -> None: ...

    async def lag(self) -> int:
        """Return how many events the counting consumers have yet to process. Raises KafkaError, TimeoutError."""


class Reconciler:
    """Reports a difference as wrong if it is found twice, `settle_s` apart, while no event waits."""

    def __init__(self, owners: CountOwners, settle_s: float = SETTLE_S) -> None:
        self._owners = owners
        self._settle_s = settle_s

    async def check(self, user_ids: Sequence[int]) -> list[Drift]:
        """Return the wrong counts of the users and their posts."""
        suspects = {user_id: found for user_id in user_ids if (found := await self._look(user_id))}
        if suspects:
            await asyncio.sleep(self._settle_s)
        skipped = len(suspects) if suspects and await self._owners.lag() else 0
        looks = {} if skipped else suspects
        drifts = [one for user_id, before in looks.items() for one in before & await self._look(user_id)]
        wrong = {one.user_id for one in drifts}
        CHECKED.labels("skipped").inc(skipped)
        CHECKED.labels("drifted").inc(len(wrong))
        CHECKED.labels("clean").inc(len(set(user_ids)) - skipped - len(wrong))
        for one in drifts:
            DRIFT.labels(one.place).inc()
        return drifts

    async def mend(self, drifts: Iterable[Drift]) -> list[Drift]:
        """Have the owners count again. Return what is still wrong after that."""
        by_user: dict[int, list[Drift]] = {}
        for one in drifts:
            by_user.setdefault(one.user_id, []).append(one)
        for user_id, wrong in by_user.items():
            await self._mend(user_id, wrong)
        left: list[Drift] = []
        for user_id in by_user:
            left += await self._left(user_id)
        return left

    async def _mend(self, user_id: int, wrong: Sequence[Drift]) -> None:
        posts = {one.entity_id for one in wrong if one.place in (Place.LEDGER, Place.CACHE, Place.POST)}
        authored = {one.entity_id: one.recorded for one in wrong if one.place is Place.AUTHORED}
        if posts:
            await self._owners.mend_posts(sorted(posts))
        if authored or any(one.place is Place.USER for one in wrong):
            there, gone = ([p for p, state in authored.items() if state == wanted] for wanted in ("there", "gone"))
            await self._owners.mend_user(user_id, there, gone)

    async def _left(self, user_id: int) -> list[Drift]:
        for _ in range(LOOKS):
            found = await self._look(user_id)
            if not found:
                break
            await asyncio.sleep(LOOK_AGAIN_S)
        return sorted(found, key=lambda one: (one.place, one.entity_id))

    async def _look(self, user_id: int) -> set[Drift]:
        """Return everything that differs now."""
        counts = await self._owners.user(user_id)
        published = await self._owners.published(user_id, counts.post_ids)
        found = {
            Drift(Place.AUTHORED, user_id, post, *(("there", "gone") if post in published else ("gone", "there")))
            for post in published ^ counts.post_ids
        }
        if counts.recorded != counts.counted:
            found.add(Drift(Place.USER, user_id, user_id, str(counts.recorded), str(counts.counted)))
        for post in await self._owners.posts(sorted(published)):
            found |= set(_differences(user_id, post))
        return found


def _differences(user_id: int, post: PostCounts) -> list[Drift]:
    """Compare the ledger with the records, and the copies of the ledger with the ledger."""
    recorded, counted = str(post.recorded), str(post.counted)
    found = []
    if post.differing or recorded != counted:
        ledger = f"{counted}, {post.differing} members differ"
        found.append(Drift(Place.LEDGER, user_id, post.post_id, recorded, ledger))
    if post.cached is not None and post.cached != post.counted:
        found.append(Drift(Place.CACHE, user_id, post.post_id, counted, str(post.cached)))
    if post.kept != post.counted:
        found.append(Drift(Place.POST, user_id, post.post_id, counted, str(post.kept)))
    return found


async def pages(owners: CountOwners) -> AsyncIterator[list[int]]:
    """Yield the ids of all users, page by page."""
    after_id = 0
    while user_ids := await owners.user_ids(after_id):
        yield user_ids
        after_id = user_ids[-1]


async def run(user_ids: Sequence[int], *, settle_s: float, mend: bool) -> int:
    """Report and correct the counts of these users, or of all. Return how many are still wrong."""
    checked, left = 0, 0
    async with open_owners(Settings()) as owners:
        reconciler = Reconciler(owners, settle_s)

        async def given() -> AsyncIterator[Sequence[int]]:
            yield user_ids

        async for some in given() if user_ids else pages(owners):
            drifts = await reconciler.check(some)
            for one in drifts:
                say(f"{one.place} of {one.entity_id}: {one.found}, by the records {one.recorded}")
            left += len(await reconciler.mend(drifts) if mend else drifts)
            checked += len(some)
    say(f"{checked} users reconciled, {left} counts are wrong")
    return left
