"""User and post service over HTTP."""

from collections.abc import Sequence

from libs.common.web.client import ServiceClient
from libs.contracts.public import Author, Post


class PostServicePosts:
    """Asks the post service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def author_of(self, reader_id: int | None, post_id: int) -> int | None:
        answer = await self._client.query("/internal/posts/batch", {"post_ids": [post_id], "reader_id": reader_id})
        return int(answer["posts"][0]["author_id"]) if answer["posts"] else None

    async def hydrate(self, reader_id: int, post_ids: Sequence[int]) -> list[Post]:
        if not post_ids:
            return []
        wanted = {"reader_id": reader_id, "post_ids": list(post_ids)}
        answer = await self._client.query("/internal/posts/hydrate", wanted)
        return [Post.model_validate(item) for item in answer["posts"]]


class UserServicePeople:
    """Asks the user service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def of(self, reader_id: int, user_ids: Sequence[int]) -> dict[int, Author]:
        if not user_ids:
            return {}
        wanted = {"user_ids": list(user_ids), "reader_id": reader_id}
        answer = await self._client.query("/internal/users/batch", wanted)
        authors = [Author.model_validate(item) for item in answer["users"]]
        return {author.user_id: author for author in authors}
