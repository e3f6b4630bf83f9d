"""Reads records from their owners through internal routes."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from libs.clients.post import PostClient
from libs.clients.user import UserClient
from libs.common.core.ids import first_id_at, now_ms
from libs.common.core.settings import Settings
from libs.contracts.internal.post import RECENT_EACH
from ops.services import service_client

WINDOW_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Followees:
    """The authors in a reader's feed. The feed list may lack posts of those in `pull`."""

    all: frozenset[int]
    pull: frozenset[int]


class Records:
    """The user and the post service."""

    def __init__(self, settings: Settings) -> None:
        self._connections = service_client("user", settings), service_client("post", settings)
        self._users, self._posts = UserClient(self._connections[0]), PostClient(self._connections[1])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(one.close() for one in self._connections))

    async def followees(self, reader_id: int) -> Followees:
        """Without those who are muted or banned."""
        found = await self._users.followees(reader_id)
        return Followees(frozenset(found.followees), frozenset(found.pull))

    async def posts(self, author_ids: Iterable[int]) -> dict[int, int]:
        """Return the author of each published post within the window, by post id."""
        waiting, before_id = sorted(author_ids), None
        authors: dict[int, int] = {}
        while waiting:
            recent = await self._posts.recent(waiting, window_start() - 1, before_id, RECENT_EACH)
            authors |= {post_id: author_id for author_id, post_ids in recent.items() for post_id in post_ids}
            waiting, before_id = _truncated(recent)
        alive = await self.published(authors)
        return {post_id: author_id for post_id, author_id in authors.items() if post_id in alive}

    async def published(self, post_ids: Iterable[int]) -> set[int]:
        """Those that are there, by the posts' own records."""
        return {one.post_id for one in await self._posts.ranking_features(sorted(post_ids))}


def window_start() -> int:
    """Return the first id inside the window that ends now."""
    return first_id_at(now_ms() - WINDOW_MS)


def _truncated(recent: Mapping[int, Sequence[int]]) -> tuple[list[int], int | None]:
    """Authors who may have more posts than one answer holds, and below which id to ask for them all again."""
    full = {author_id: min(post_ids) for author_id, post_ids in recent.items() if len(post_ids) == RECENT_EACH}
    return sorted(full), max(full.values(), default=None)
