"""User, post and interaction service over HTTP."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from cachetools import TTLCache

from libs.common.web.client import ServiceClient
from libs.contracts.public import Author, Engagement, PostRecord
from services.feed.domain.feed import Followees, RankingFeatures, Relation
from services.feed.ports import LATEST

BATCH = 500  # ids that one hydration call takes
AUTHORS = 1_000  # authors that one call for recent posts takes
TRAITS_S = 60  # counts may be so old when a feed is ranked
TRAITS_KEPT = 200_000  # some 40 MB


class UserServiceGraph:
    """Asks the user service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def followees(self, user_id: int) -> Followees:
        answer = await self._client.get(f"/internal/users/{user_id}/followees")
        return Followees(frozenset(answer["followees"]), frozenset(answer["pull"]), frozenset(answer["fresh"]))

    async def authors(self, user_ids: Sequence[int]) -> dict[int, Author]:
        answer = await self._client.query("/internal/users/batch", {"user_ids": list(user_ids)})
        authors = [Author.model_validate(item) for item in answer["users"]]
        return {author.user_id: author for author in authors}

    async def relation(self, reader_id: int, author_id: int) -> Relation:
        answer = await self._client.get(f"/internal/users/{reader_id}/relation/{author_id}")
        following = answer["following"]
        hidden = not answer["exists"] or answer["blocked"] or answer["banned"]
        return Relation(hidden or (answer["private"] and not following), following, answer["muted"])


class PostServicePosts:
    """Asks the post service; ranking_features are kept for a minute."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client
        self._ranking_features: TTLCache[int, RankingFeatures] = TTLCache(TRAITS_KEPT, TRAITS_S)

    async def records(self, post_ids: Sequence[int]) -> dict[int, PostRecord]:
        answers = await self._in_batches("/internal/posts/batch", post_ids)
        records = [PostRecord.model_validate(item) for item in answers]
        return {record.post_id: record for record in records}

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        known = {p: features for p in post_ids if (features := self._ranking_features.get(p))}
        asked = await self._in_batches("/internal/posts/traits", [p for p in post_ids if p not in known])
        for item in asked:
            features = RankingFeatures(*item)
            known[features.post_id] = self._ranking_features[features.post_id] = features
        return [known[p] for p in post_ids if p in known]

    async def _in_batches(self, path: str, post_ids: Sequence[int]) -> list[Any]:
        pages = [post_ids[start : start + BATCH] for start in range(0, len(post_ids), BATCH)]
        answers = await asyncio.gather(*(self._client.query(path, {"post_ids": page}) for page in pages))
        return [item for answer in answers for item in answer["posts"]]

    async def recent(
        self, author_ids: Iterable[int], after_id: int, before_id: int | None, limit_each: int
    ) -> dict[int, list[int]]:
        authors = list(author_ids)
        pages = [authors[start : start + AUTHORS] for start in range(0, len(authors), AUTHORS)]
        bounds = {"after_id": after_id, "before_id": before_id, "limit_each": limit_each}
        calls = (self._client.query("/internal/posts/recent", {"author_ids": page, **bounds}) for page in pages)
        recent = defaultdict[int, list[int]](list)
        for answer in await asyncio.gather(*calls):
            for author_id, post_id in answer["posts"]:
                recent[author_id].append(post_id)
        return recent

    async def latest(self, author_ids: Sequence[int], window_start: int) -> dict[int, list[int]]:
        return await self.recent(author_ids, window_start, None, LATEST)


class InteractionServiceMarks:
    """Asks the interaction service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def of(self, reader_id: int, post_ids: Sequence[int]) -> dict[int, Engagement]:
        if not post_ids:
            return {}
        answer = await self._client.query("/internal/marks", {"reader_id": reader_id, "post_ids": list(post_ids)})
        return {int(mark["post_id"]): Engagement.model_validate(mark) for mark in answer["marks"]}
