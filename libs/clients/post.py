"""The post service."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from libs.clients.batches import in_batches
from libs.common.web.client import ServiceClient
from libs.contracts.internal.post import (
    AUTHORS_A_CALL,
    POSTS_A_CALL,
    AuthorPost,
    HydratedPostsAnswer,
    PostRecordsAnswer,
    PostsRequest,
    RankingFeatures,
    RankingFeaturesAnswer,
    RecentPostsAnswer,
    RecentPostsRequest,
)
from libs.contracts.public import Post, PostRecord

POSTS = "/internal/posts"


class PostClient:
    """Published posts."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def records(self, post_ids: Sequence[int]) -> dict[int, PostRecord]:
        """Return posts by id, without a check of who may see them."""

        async def ask(batch: Sequence[int]) -> list[PostRecord]:
            return await self._records(PostsRequest(post_ids=list(batch)))

        return {record.post_id: record for record in await in_batches(post_ids, POSTS_A_CALL, ask)}

    async def author_of(self, reader_id: int | None, post_id: int) -> int | None:
        """Return the author's id, or None if the post does not exist or the reader may not see it."""
        found = await self._records(PostsRequest(post_ids=[post_id], reader_id=reader_id))
        return found[0].author_id if found else None

    async def _records(self, request: PostsRequest) -> list[PostRecord]:
        answer = await self._client.query(f"{POSTS}/batch", request.body())
        return PostRecordsAnswer.model_validate(answer).posts

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        """Return the author and the counts of each published post, in any order. Others are left out."""

        async def ask(batch: Sequence[int]) -> list[RankingFeatures]:
            answer = await self._client.query(f"{POSTS}/traits", PostsRequest(post_ids=list(batch)).body())
            return RankingFeaturesAnswer.model_validate(answer).posts

        return await in_batches(post_ids, POSTS_A_CALL, ask)

    async def recent(
        self, author_ids: Iterable[int], after_id: int, before_id: int | None, limit_each: int
    ) -> dict[int, list[int]]:
        """Post ids in `(after_id, before_id)` by author, newest first; `limit_each` is at most 500.

        Authors without posts there are left out.
        """

        async def ask(batch: Sequence[int]) -> list[AuthorPost]:
            request = RecentPostsRequest(
                author_ids=list(batch), after_id=after_id, before_id=before_id, limit_each=limit_each
            )
            answer = await self._client.query(f"{POSTS}/recent", request.body())
            return RecentPostsAnswer.model_validate(answer).posts

        by_author = defaultdict[int, list[int]](list)
        for author_id, post_id in await in_batches(list(author_ids), AUTHORS_A_CALL, ask):
            by_author[author_id].append(post_id)
        return dict(by_author)

    async def hydrate(self, reader_id: int | None, post_ids: Sequence[int]) -> list[Post]:
        """Posts as the reader sees them, in the order of `post_ids`; hidden ones are left out."""

        async def ask(batch: Sequence[int]) -> list[Post]:
            body = PostsRequest(post_ids=list(batch), reader_id=reader_id).body()
            return HydratedPostsAnswer.model_validate(await self._client.query(f"{POSTS}/hydrate", body)).posts

        return await in_batches(post_ids, POSTS_A_CALL, ask)
