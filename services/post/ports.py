"""What the post service needs of others."""

from collections.abc import Sequence
from typing import Protocol

from libs.contracts.events import PostCounted
from libs.contracts.internal.post import RankingFeatures
from libs.contracts.public import Author, Engagement
from libs.contracts.records import EventRecord
from services.post.domain import MediaState, StoredPost


class PostStore(Protocol):
    """Posts. Raises UnavailableError. Every write takes the events that belong to it: all or nothing."""

    async def get(self, post_id: int) -> StoredPost | None: ...

    async def get_many(self, post_ids: Sequence[int]) -> list[StoredPost]:
        """Those that there are, in any order."""

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        """Of the published ones, in any order."""

    async def create(self, post: StoredPost) -> None:
        """A post on its way, found again by each of its media. Doing it again changes nothing."""

    async def publish(self, post: StoredPost, events: Sequence[EventRecord]) -> None:
        """Make the post visible and list it."""

    async def fail(self, post_id: int, reason: str) -> None: ...

    async def edit(self, before: StoredPost, after: StoredPost, events: Sequence[EventRecord]) -> None:
        """What the author changed, the text or the place; of two edits of one the higher version stays. No status."""

    async def delete(self, post: StoredPost, events: Sequence[EventRecord]) -> None: ...

    async def keep_outcome(self, outcome: MediaState) -> None:
        """Remember what the topic told of an upload; ready is final."""

    async def forget_outcome(self, media_id: int) -> None:
        """Ask the media service about it again."""

    async def outcomes(self, media_ids: Sequence[int]) -> list[MediaState]:
        """What is remembered; the others are left out."""

    async def waiting_for(self, media_id: int) -> list[int]:
        """Posts that were made with the upload and were not published yet."""

    async def by_author(self, author_id: int, after_id: int, before_id: int, limit: int) -> list[int]:
        """Ids in `(after_id, before_id)`, newest first."""

    async def by_hashtag(self, tag: str, before_id: int, limit: int) -> list[tuple[int, int | None]]:
        """(post, author) pairs below the bound, newest first.

        Posts that had the tag before edits which raced may be among them. Of old posts the author is None.
        """

    async def keep_counts(self, counted: PostCounted) -> None:
        """Older counts than those that are there change nothing."""


class MediaLibrary(Protocol):
    """Uploads. Raises UnavailableError."""

    async def states(self, media_ids: Sequence[int]) -> list[MediaState]:
        """Unknown ids are left out."""

    async def store(self, owner_id: int, body: bytes) -> int:
        """Upload a picture; its media id. Raises the media service's own ApiError for one that it refuses."""


class Authors(Protocol):
    """Profiles. Raises UnavailableError."""

    async def post_authors(self, reader_id: int | None, user_ids: Sequence[int]) -> dict[int, Author]:
        """Those whose posts the reader, or without one everybody, may see."""


class Marks(Protocol):
    """Counts, and what the reader did. Raises UnavailableError."""

    async def of(self, reader_id: int | None, post_ids: Sequence[int]) -> dict[int, Engagement]: ...
