"""The media service, in the terms of posts."""

from collections.abc import Sequence

from libs.clients.media import MediaClient
from libs.media.readiness import MediaReadiness, MediaStatus


class HttpUploads:
    """Implements `ports.PostMedia`."""

    def __init__(self, media: MediaClient) -> None:
        self._media = media

    async def states(self, media_ids: Sequence[int]) -> list[MediaReadiness]:
        return [
            MediaReadiness(one.media_id, one.owner_id, MediaStatus(one.status), one.reason, one.document)
            for one in await self._media.find(media_ids)
        ]

    async def store(self, owner_id: int, body: bytes) -> int:
        return await self._media.store(owner_id, body)
