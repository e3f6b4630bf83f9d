"""The media service."""

from libs.common.web.client import ServiceClient
from libs.contracts.media import MediaDocument
from services.user.domain.people import Avatar, AvatarUpload


class HttpMediaLibrary:
    """Implements `ports.ProfileMedia`."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def for_profile(self, owner_id: int, media_id: int) -> AvatarUpload | None:
        """See the port."""
        answer = await self._client.query("/internal/media/batch", {"media_ids": [media_id], "profile_of": owner_id})
        if not answer["media"]:
            return None
        media = answer["media"][0]
        avatar = None
        if media["status"] == "ready" and media["document"]:
            avatar = Avatar(media_id, MediaDocument.model_validate(media["document"]).paths["thumbnail"])
        return AvatarUpload(int(media["owner_id"]), avatar)
