"""Reads records from their owners through internal routes."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from libs.common.core.ids import first_id_at, now_ms
from libs.common.core.settings import Settings
from ops.services import service_client

WINDOW_MS = 7 * 86_400_000
EACH = 500  # posts of an author in one answer


@dataclass(frozen=True, slots=True)
class Followees:
    """The authors in a reader's feed. The feed list may lack posts of those in `pull`."""

    all: frozenset[int]
    pull: frozenset[int]


class Records:
    """The user and the post service."""

    def __init__(self, settings: Settings) -> None:
        self._user = service_client("user", settings)
        self._post = service_client("post", settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(self._user.close(), self._post.close())

    async def followees(self, reader_id: int) -> Followees:
        """Return the followees of the reader, without muted and banned ones."""
        answer = await self._user.get(f"/internal/users/{reader_id}/followees")
        return Followees(frozenset(answer["followees"]), frozenset(answer["pull"]))

    async def posts(self, author_ids: Iterable[int]) -> dict[int, int]:
        """Return the author of each published post within the window, by post id."""
        waiting, before_id = sorted(author_ids), None
        authors: dict[int, int] = {}
        while waiting:
            pairs = await self._recent(waiting, before_id)
            authors |= {post_id: author_id for author_id, post_id in pairs}
            waiting, before_id = _truncated(pairs)
        alive = await self.published(authors)
        return {post_id: author_id for post_id, author_id in authors.items() if post_id in alive}

    async def published(self, post_ids: Iterable[int]) -> set[int]:
        """Return the ids that exist, by the records of the posts."""
        ids, alive = sorted(post_ids), set[int]()
        for start in range(0, len(ids), EACH):
            answer = await self._post.query("/internal/posts/traits", {"post_ids": ids[start : start + EACH]})
            alive |= {int(post_id) for post_id, *_ in answer["posts"]}
        return alive

    async def _recent(self, author_ids: Sequence[int], before_id: int | None) -> list[tuple[int, int]]:
        bounds = {"after_id": window_start() - 1, "before_id": before_id, "limit_each": EACH}
        answer = await self._post.query("/internal/posts/recent", {"author_ids": author_ids, **bounds})
        return [(int(author_id), int(post_id)) for author_id, post_id in answer["posts"]]


def window_start() -> int:
    """Return the first id inside the window that ends now."""
    return first_id_at(now_ms() - WINDOW_MS)


def _truncated(pairs: Sequence[tuple[int, int]]) -> tuple[list[int], int | None]:
    """Return authors that may have more posts than one answer has, and the id below which to continue."""
    by_author: dict[int, list[int]] = {}
    for author_id, post_id in pairs:
        by_author.setdefault(author_id, []).append(post_id)
    full = {author_id: min(post_ids) for author_id, post_ids in by_author.items() if len(post_ids) == EACH}
    return sorted(full), max(full.values(), default=None)
