"""Reads and corrects the counts of their owners through internal routes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from libs.clients.interaction import InteractionClient
from libs.clients.post import PostClient
from libs.clients.user import UserClient
from libs.common.core.ids import MAX_ID
from libs.common.core.settings import Settings
from libs.common.kafka.lag import LagMeter
from libs.contracts.internal.interaction import AUDITS_A_CALL, PostAudit
from libs.contracts.internal.post import RECENT_EACH
from libs.contracts.internal.user import AccountTally
from libs.contracts.public import Counts
from ops.records import Records
from ops.services import service_client

USERS_A_PAGE = 1_000
ON_THEIR_WAY = {"counters": ["interactions"], "post-counts": ["counters"], "user-posts": ["posts"]}
"""The groups that count, and what they consume."""


@dataclass(frozen=True, slots=True)
class UserCounts:
    """Numbers of followers, followees and posts: `recorded` from the rows, `counted` from the counters."""

    recorded: tuple[int, ...]
    counted: tuple[int, ...]
    post_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class PostCounts:
    """The counts of one post in each place. None means that the cache has no entry.

    `differing` is the number of ledger members that differ from their records.
    """

    post_id: int
    recorded: Counts
    counted: Counts
    cached: Counts | None
    kept: Counts
    differing: int


class Owners:
    """Implements `ops.reconcile.CountOwners` over the running services."""

    def __init__(self, settings: Settings, records: Records, meter: LagMeter) -> None:
        self._records = records
        self._meter = meter
        user, post, interaction = (service_client(name, settings) for name in ("user", "post", "interaction"))
        self._connections = user, post, interaction
        self._users, self._posts, self._interactions = (
            UserClient(user),
            PostClient(post),
            InteractionClient(interaction),
        )

    async def close(self) -> None:
        """Close the clients."""
        await asyncio.gather(*(one.close() for one in self._connections))

    async def user_ids(self, after_id: int, limit: int = USERS_A_PAGE) -> list[int]:
        return await self._users.user_ids(after_id, limit)

    async def user(self, user_id: int) -> UserCounts:
        found = await self._users.audit_counts(user_id)
        return UserCounts(_tally(found.recorded), _tally(found.counted), frozenset(found.post_ids))

    async def published(self, author_id: int, known: frozenset[int]) -> set[int]:
        found, before_id = set(known), MAX_ID
        while True:
            post_ids = (await self._posts.recent([author_id], 0, before_id, RECENT_EACH)).get(author_id, [])
            found |= set(post_ids)
            if len(post_ids) < RECENT_EACH:
                return await self._records.published(found)
            before_id = min(post_ids)

    async def posts(self, post_ids: Sequence[int]) -> list[PostCounts]:
        found: list[PostCounts] = []
        for some in _calls(post_ids):
            audits = await self._interactions.audit(some)
            records = await self._posts.records(some)
            found += [_post_counts(one, records[one.post_id].counts) for one in audits if one.post_id in records]
        return found

    async def mend_user(self, user_id: int, there: Sequence[int], gone: Sequence[int]) -> None:
        await self._users.mend_counts(user_id, there, gone)

    async def mend_posts(self, post_ids: Sequence[int]) -> None:
        for some in _calls(post_ids):
            await self._interactions.mend(some)

    async def lag(self) -> int:
        return sum(one.lag for one in (await self._meter.progress(ON_THEIR_WAY)).values())


def _calls(post_ids: Sequence[int]) -> list[Sequence[int]]:
    return [post_ids[start : start + AUDITS_A_CALL] for start in range(0, len(post_ids), AUDITS_A_CALL)]


def _tally(counts: AccountTally) -> tuple[int, int, int]:
    return counts.followers, counts.following, counts.posts


def _post_counts(audit: PostAudit, kept: Counts) -> PostCounts:
    return PostCounts(audit.post_id, audit.recorded, audit.counted, audit.cached, kept, audit.differing)


@asynccontextmanager
async def open_owners(settings: Settings) -> AsyncIterator[Owners]:
    """Open the owners of the running system."""
    async with Records(settings) as records, LagMeter(settings) as meter:
        owners = Owners(settings, records, meter)
        try:
            yield owners
        finally:
            await owners.close()
