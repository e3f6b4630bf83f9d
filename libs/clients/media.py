"""The media service."""

from collections.abc import Sequence

from libs.common.web.client import ServiceClient
from libs.contracts.internal.media import MediaAnswers, MediaRecord, MediaRequest, MediaStored

MEDIA = "/internal/media"


class MediaClient:
    """Uploads to the media service.

    Args:
        client: for requests without a file.
        files: for whole files, which take longer; by default `client`.
    """

    def __init__(self, client: ServiceClient, files: ServiceClient | None = None) -> None:
        self._client = client
        self._files = files or client

    async def find(self, media_ids: Sequence[int], *, profile_of: int | None = None) -> list[MediaRecord]:
        """Known media among at most 100; `profile_of` names the user whose profile will show them."""
        request = MediaRequest(media_ids=list(media_ids), profile_of=profile_of)
        return MediaAnswers.model_validate(await self._client.query(f"{MEDIA}/batch", request.body())).media

    async def store(self, owner_id: int, body: bytes) -> int:
        """Upload a picture; the answer is its media id.

        Raises:
            ApiError: the media service's own, for a picture that it refuses.
        """
        owner = {"owner_id": owner_id}
        answer = await self._files.send_bytes(f"{MEDIA}/store", body, "application/octet-stream", owner)
        return MediaStored.model_validate(answer).media_id
