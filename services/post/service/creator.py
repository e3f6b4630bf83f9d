"""Creates a post from a request."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from libs.common.core.errors import UnavailableError
from libs.contracts.base import utc_now
from libs.contracts.public import Post
from services.post.domain import Draft, PublishStatus, StoredPost
from services.post.ports import PostMedia
from services.post.service.reader import PostReader
from services.post.service.writer import PostWriter


class PictureFile(Protocol):
    """An image file of the request, on disk or in memory."""

    async def read(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class CreatedPost:
    """The stored post. `shown` is its public form, None while it cannot be shown."""

    post: StoredPost
    shown: Post | None
    ready_at: datetime
    """An estimate, for a post whose images are being processed."""


class PostCreator:
    """Creates posts from images that are uploaded already or come with the request.

    Args:
        seconds_a_picture: processing time of an image, for the estimate.
    """

    def __init__(self, writer: PostWriter, reader: PostReader, media: PostMedia, seconds_a_picture: float) -> None:
        self._writer = writer
        self._reader = reader
        self._media = media
        self._picture_time = timedelta(seconds=seconds_a_picture)

    async def create(
        self, author_id: int, post_id: int, draft: Draft, pictures: Sequence[PictureFile], *, retried: bool
    ) -> CreatedPost:
        """Create the post. With `retried`, an earlier request may have created it; then nothing is uploaded again.

        Raises:
            InvalidError: as `PostWriter.create`.
            ApiError: from the media service, for an image that it rejects.
        """
        existing = await self._writer.publish_if_ready(post_id) if retried else None
        post = existing or await self._create(author_id, post_id, draft, pictures)
        shown = None
        if post.status is PublishStatus.PUBLISHED:
            present = self._reader.present if existing else self._reader.present_new
            with suppress(UnavailableError):  # the post exists, even if it cannot be read now
                shown = await present(author_id, post)
        return CreatedPost(post, shown, utc_now() + self._picture_time * len(post.media_ids))

    async def _create(self, author_id: int, post_id: int, draft: Draft, pictures: Sequence[PictureFile]) -> StoredPost:
        if not pictures:
            return await self._writer.create(author_id, post_id, draft)
        # One image after the other, so that only one is in memory.
        ids = [await self._media.store(author_id, await picture.read()) for picture in pictures]
        uploaded = replace(draft, media_ids=tuple(ids))
        return await self._writer.create(author_id, post_id, uploaded, just_uploaded=True)
