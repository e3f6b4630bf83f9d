"""User, media and interaction service over HTTP."""

from collections.abc import Sequence

from libs.common.web.client import ServiceClient
from libs.contracts.media import MediaDocument
from libs.contracts.public import Author, Engagement
from libs.media.readiness import MediaReadiness, MediaStatus


class UserServiceAuthors:
    """Asks the user service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def of(self, reader_id: int | None, user_ids: Sequence[int]) -> dict[int, Author]:
        wanted = {"user_ids": list(user_ids), "reader_id": reader_id, "posts": True}
        answer = await self._client.query("/internal/users/batch", wanted)
        authors = [Author.model_validate(item) for item in answer["users"]]
        return {author.user_id: author for author in authors}


class InteractionServiceMarks:
    """Asks the interaction service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def of(self, reader_id: int | None, post_ids: Sequence[int]) -> dict[int, Engagement]:
        answer = await self._client.query("/internal/marks", {"reader_id": reader_id, "post_ids": list(post_ids)})
        return {int(mark["post_id"]): Engagement.model_validate(mark) for mark in answer["marks"]}


class MediaServiceLibrary:
    """Asks the media service."""

    def __init__(self, client: ServiceClient, files: ServiceClient) -> None:
        self._client = client
        self._files = files

    async def states(self, media_ids: Sequence[int]) -> list[MediaReadiness]:
        answer = await self._client.query("/internal/media/batch", {"media_ids": list(media_ids)})
        return [
            MediaReadiness(
                media_id=int(item["media_id"]),
                owner_id=int(item["owner_id"]),
                status=MediaStatus(item["status"]),
                reason=item["reason"],
                document=MediaDocument.model_validate(item["document"]) if item["document"] else None,
            )
            for item in answer["media"]
        ]

    async def store(self, owner_id: int, body: bytes) -> int:
        place = {"owner_id": owner_id}
        answer = await self._files.send_bytes("/internal/media/store", body, "application/octet-stream", place)
        return int(answer["media_id"])
