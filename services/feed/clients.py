"""User, post and interaction service over HTTP."""

import asyncio
from collections.abc import Iterable, Sequence

from libs.common.contracts.public import Author, Engagement, PostRecord
from libs.common.runtime.http import ServiceClient
from services.feed.domain import Followees

BATCH = 500  # ids that one hydration call takes
AUTHORS = 1_000  # authors that one call for recent posts takes


class UserServiceGraph:
    """Asks the user service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def followees(self, user_id: int) -> Followees:
        answer = await self._client.get(f"/internal/users/{user_id}/followees")
        return Followees(frozenset(answer["followees"]), frozenset(answer["pull"]))

    async def authors(self, user_ids: Sequence[int]) -> dict[int, Author]:
        answer = await self._client.query("/internal/users/batch", {"user_ids": list(user_ids)})
        authors = [Author.model_validate(item) for item in answer["users"]]
        return {author.user_id: author for author in authors}


class PostServicePosts:
    """Asks the post service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def records(self, post_ids: Sequence[int]) -> dict[int, PostRecord]:
        pages = [post_ids[start : start + BATCH] for start in range(0, len(post_ids), BATCH)]
        calls = (self._client.query("/internal/posts/batch", {"post_ids": list(page)}) for page in pages)
        answers = await asyncio.gather(*calls)
        records = [PostRecord.model_validate(item) for answer in answers for item in answer["posts"]]
        return {record.post_id: record for record in records}

    async def recent(
        self, author_ids: Iterable[int], after_id: int, before_id: int | None, limit_each: int
    ) -> list[int]:
        authors = list(author_ids)
        pages = [authors[start : start + AUTHORS] for start in range(0, len(authors), AUTHORS)]
        bounds = {"after_id": after_id, "before_id": before_id, "limit_each": limit_each}
        calls = (self._client.query("/internal/posts/recent", {"author_ids": page, **bounds}) for page in pages)
        answers = await asyncio.gather(*calls)
        return [int(post_id) for answer in answers for _, post_id in answer["posts"]]


class InteractionServiceMarks:
    """Asks the interaction service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def of(self, reader_id: int, post_ids: Sequence[int]) -> dict[int, Engagement]:
        if not post_ids:
            return {}
        answer = await self._client.query("/internal/marks", {"reader_id": reader_id, "post_ids": list(post_ids)})
        return {int(mark["post_id"]): Engagement.model_validate(mark) for mark in answer["marks"]}
