"""Creating a post from what a client sent."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from libs.common.core.errors import UnavailableError
from libs.contracts.base import utc_now
from libs.contracts.public import Post
from services.post.domain import Draft, Status, StoredPost
from services.post.ports import MediaLibrary
from services.post.service.reader import PostReader
from services.post.service.writer import PostWriter


class Picture(Protocol):
    """A file of the request, on disk or in memory."""

    async def read(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class CreatedPost:
    """The stored post; `shown` is the public form, None while it cannot be shown yet."""

    post: StoredPost
    shown: Post | None
    ready_at: datetime
    """An estimate, for a post whose pictures are still being processed."""


class PostCreator:
    """Creates posts, whose pictures are uploaded already or come with the request.

    Args:
        seconds_a_picture: how long processing one picture takes, for the estimate.
    """

    def __init__(self, writer: PostWriter, reader: PostReader, media: MediaLibrary, seconds_a_picture: float) -> None:
        self._writer = writer
        self._reader = reader
        self._media = media
        self._picture = timedelta(seconds=seconds_a_picture)

    async def create(
        self, author_id: int, post_id: int, draft: Draft, pictures: Sequence[Picture], *, retried: bool
    ) -> CreatedPost:
        """Create the post. With `retried`, an earlier try may have created it: then nothing is uploaded again.

        Raises:
            InvalidError: as `PostWriter.create`.
            ApiError: of the media service, for a picture that it refuses.
        """
        post = await self._writer.settle(post_id) if retried else None
        if post is None:
            post = await self._writer.create(author_id, post_id, await self._uploaded(author_id, draft, pictures))
        shown = None
        if post.status is Status.PUBLISHED:
            with suppress(UnavailableError):  # the post is created, whatever is away now
                shown = await self._reader.present(author_id, post)
        return CreatedPost(post, shown, utc_now() + self._picture * len(post.media_ids))

    async def _uploaded(self, author_id: int, draft: Draft, pictures: Sequence[Picture]) -> Draft:
        """One picture after the other, so that only one is in memory."""
        if not pictures:
            return draft
        ids = [await self._media.store(author_id, await picture.read()) for picture in pictures]
        return replace(draft, media_ids=tuple(ids))
