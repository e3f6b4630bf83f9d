"""The user and the post service, in the terms of the feed."""

from collections.abc import Iterable, Sequence

from cachetools import TTLCache

from libs.clients.post import PostClient
from libs.clients.user import UserClient
from libs.contracts.internal.post import RankingFeatures
from libs.contracts.public import Author, PostRecord
from libs.telemetry.caches import count_reads
from services.feed.domain.feed import Followees, Relation

FEATURES_S = 60  # counts may be so old when a feed is ranked
FEATURES_KEPT = 200_000  # about 40 MB


class HttpFollowGraph:
    """Implements `ports.Graph`."""

    def __init__(self, users: UserClient) -> None:
        self._users = users

    async def followees(self, user_id: int) -> Followees:
        found = await self._users.followees(user_id)
        return Followees(frozenset(found.followees), frozenset(found.pull), frozenset(found.fresh))

    async def authors(self, user_ids: Sequence[int]) -> dict[int, Author]:
        return await self._users.authors(user_ids)

    async def relation(self, reader_id: int, author_id: int) -> Relation:
        found = await self._users.relation(reader_id, author_id)
        hidden = not found.exists or found.blocked or found.banned
        return Relation(hidden or (found.private and not found.following), found.following, found.muted)


class HttpPostSource:
    """Implements `ports.Posts`; ranking features are cached for a minute."""

    def __init__(self, posts: PostClient) -> None:
        self._posts = posts
        self._features: TTLCache[int, RankingFeatures] = TTLCache(FEATURES_KEPT, FEATURES_S)

    async def records(self, post_ids: Sequence[int]) -> dict[int, PostRecord]:
        return await self._posts.records(post_ids)

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        known = {p: features for p in post_ids if (features := self._features.get(p))}
        count_reads("ranking_features", hits=len(known), misses=len(post_ids) - len(known))
        for features in await self._posts.ranking_features([p for p in post_ids if p not in known]):
            known[features.post_id] = self._features[features.post_id] = features
        return [known[p] for p in post_ids if p in known]

    async def recent(
        self, author_ids: Iterable[int], after_id: int, before_id: int | None, limit_each: int
    ) -> dict[int, list[int]]:
        return await self._posts.recent(author_ids, after_id, before_id, limit_each)
