"""User and post service over HTTP."""

import time
from collections.abc import Sequence

from libs.common.contracts.public import Author, Post
from libs.common.runtime.http import ServiceClient

AUTHOR_S = 60.0  # a deleted post may still be liked for so long: the like is lost with it
AUTHORS_KEPT = 50_000


class PostServicePosts:
    """Asks the post service; remembers authors of posts for a minute."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client
        self._kept: dict[int, tuple[float, int]] = {}

    async def author_of(self, post_id: int) -> int | None:
        kept = self._kept.get(post_id)
        if kept and kept[0] > time.monotonic():
            return kept[1]
        answer = await self._client.query("/internal/posts/batch", {"post_ids": [post_id]})
        if not answer["posts"]:
            self._kept.pop(post_id, None)
            return None
        author_id = int(answer["posts"][0]["author_id"])
        if len(self._kept) >= AUTHORS_KEPT:
            self._kept.clear()
        self._kept[post_id] = (time.monotonic() + AUTHOR_S, author_id)
        return author_id

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

    async def of(self, user_ids: Sequence[int]) -> dict[int, Author]:
        if not user_ids:
            return {}
        answer = await self._client.query("/internal/users/batch", {"user_ids": list(user_ids)})
        authors = [Author.model_validate(item) for item in answer["users"]]
        return {author.user_id: author for author in authors}
