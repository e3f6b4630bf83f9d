"""The media service, in the terms of profiles."""

from libs.clients.media import MediaClient
from services.user.domain.people import Avatar, AvatarUpload


class HttpAvatarSource:
    """Implements `ports.ProfileMedia`."""

    def __init__(self, media: MediaClient) -> None:
        self._media = media

    async def for_profile(self, owner_id: int, media_id: int) -> AvatarUpload | None:
        found = await self._media.find([media_id], profile_of=owner_id)
        if not found:
            return None
        document = found[0].document if found[0].status == "ready" else None
        return AvatarUpload(found[0].owner_id, Avatar(media_id, document.paths["thumbnail"]) if document else None)
