"""Reads and corrects the counts of their owners through internal routes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from libs.common.core.ids import MAX_ID
from libs.common.core.settings import Settings
from libs.common.kafka.lag import LagMeter
from libs.contracts.public import Counts
from ops.records import EACH, Records
from ops.services import service_client

USERS_A_PAGE = 1_000
POSTS_A_CALL = 100
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
        self._user, self._post, self._interaction = (
            service_client(name, settings) for name in ("user", "post", "interaction")
        )

    async def close(self) -> None:
        """Close the clients."""
        await asyncio.gather(self._user.close(), self._post.close(), self._interaction.close())

    async def user_ids(self, after_id: int, limit: int = USERS_A_PAGE) -> list[int]:
        answer = await self._user.get("/internal/users/ids", {"after": after_id, "limit": limit})
        return [int(user_id) for user_id in answer["ids"]]

    async def user(self, user_id: int) -> UserCounts:
        answer = await self._user.get(f"/internal/users/{user_id}/counts")
        recorded, counted = (tuple(answer[name].values()) for name in ("recorded", "counted"))
        return UserCounts(recorded, counted, frozenset(answer["post_ids"]))

    async def published(self, author_id: int, known: frozenset[int]) -> set[int]:
        found, before_id = set(known), MAX_ID
        while True:
            asked = {"author_ids": [author_id], "after_id": 0, "before_id": before_id, "limit_each": EACH}
            post_ids = [int(p) for _, p in (await self._post.query("/internal/posts/recent", asked))["posts"]]
            found |= set(post_ids)
            if len(post_ids) < EACH:
                return await self._records.published(found)
            before_id = min(post_ids)

    async def posts(self, post_ids: Sequence[int]) -> list[PostCounts]:
        found: list[PostCounts] = []
        for some in _calls(post_ids):
            wanted = {"post_ids": some}
            audits = (await self._interaction.query("/internal/counts/audit", wanted))["posts"]
            records = (await self._post.query("/internal/posts/batch", wanted))["posts"]
            kept = {int(record["post_id"]): Counts.model_validate(record["counts"]) for record in records}
            found += [_post_counts(audit, kept[audit["post_id"]]) for audit in audits if audit["post_id"] in kept]
        return found

    async def mend_user(self, user_id: int, there: Sequence[int], gone: Sequence[int]) -> None:
        await self._user.query(f"/internal/users/{user_id}/counts", {"there": there, "gone": gone})

    async def mend_posts(self, post_ids: Sequence[int]) -> None:
        for some in _calls(post_ids):
            await self._interaction.query("/internal/counts/mend", {"post_ids": some})

    async def lag(self) -> int:
        return sum([await self._meter.lag(group, topics) for group, topics in ON_THEIR_WAY.items()])


def _calls(post_ids: Sequence[int]) -> list[Sequence[int]]:
    return [post_ids[start : start + POSTS_A_CALL] for start in range(0, len(post_ids), POSTS_A_CALL)]


def _post_counts(audit: dict[str, Any], kept: Counts) -> PostCounts:
    cached = audit["cached"] and Counts.model_validate(audit["cached"])
    recorded, counted = (Counts.model_validate(audit[name]) for name in ("recorded", "counted"))
    return PostCounts(audit["post_id"], recorded, counted, cached, kept, audit["differing"])


@asynccontextmanager
async def open_owners(settings: Settings) -> AsyncIterator[Owners]:
    """Open the owners of the running system."""
    async with Records(settings) as records, LagMeter(settings) as meter:
        owners = Owners(settings, records, meter)
        try:
            yield owners
        finally:
            await owners.close()
