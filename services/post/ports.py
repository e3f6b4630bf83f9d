"""Ports of the use cases: the post store and other services."""

from collections.abc import Sequence
from typing import Protocol

from libs.contracts.events import PostCounted
from libs.contracts.internal.post import RankingFeatures
from libs.contracts.public import Author, Engagement
from libs.contracts.records import EventRecord
from libs.media.readiness import MediaReadiness
from services.post.domain import StoredPost


class PostStore(Protocol):
    """Posts. Raises UnavailableError.

    A write that takes events stores them in the same transaction.
    """

    async def get(self, post_id: int) -> StoredPost | None: ...

    async def get_many(self, post_ids: Sequence[int]) -> list[StoredPost]:
        """Return the existing posts, in any order."""

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        """Return the author and the counts of each published post, in any order. Others are left out."""

    async def create(self, post: StoredPost, events: Sequence[EventRecord] = ()) -> None:
        """Store a new post: one that waits for its media, or one that is published at once. Idempotent."""

    async def publish(self, post: StoredPost, events: Sequence[EventRecord]) -> None:
        """Make the post visible, and add it to the lists of its author and hashtags."""

    async def fail(self, post_id: int, reason: str) -> None: ...

    async def edit(self, before: StoredPost, after: StoredPost, events: Sequence[EventRecord]) -> None:
        """Store the changed text or location. Of two edits, the one with the higher version stays.

        The status does not change.
        """

    async def delete(self, post: StoredPost, events: Sequence[EventRecord]) -> None: ...

    async def by_author(self, author_id: int, after_id: int, before_id: int, limit: int) -> list[int]:
        """Return ids in `(after_id, before_id)`, newest first."""

    async def by_hashtag(self, tag: str, before_id: int, limit: int) -> list[tuple[int, int | None]]:
        """Return (post, author) pairs below `before_id`, newest first. The author is None in old rows.

        After concurrent edits, the result may include posts that no longer have the tag.
        """

    async def save_counts(self, counted: PostCounted) -> None:
        """Store counts. Older counts do not replace newer ones."""


class PostMedia(Protocol):
    """Uploads in the media service. Raises UnavailableError."""

    async def states(self, media_ids: Sequence[int]) -> list[MediaReadiness]:
        """Return the uploads, without unknown ids."""

    async def store(self, owner_id: int, body: bytes) -> int:
        """Upload an image. Return its media id.

        Raises:
            ApiError: from the media service, for an image that it rejects.
        """


class UserProfiles(Protocol):
    """Profiles in the user service. Raises UnavailableError."""

    async def post_authors(self, reader_id: int | None, user_ids: Sequence[int]) -> dict[int, Author]:
        """Return authors whose posts the reader may see. Without a reader: authors whose posts everybody may see."""


class AuthorProfiles(UserProfiles, Protocol):
    """Profiles of authors, some of them cached. Raises UnavailableError."""

    async def own(self, author_id: int) -> Author | None:
        """Return the author's profile for the author, or None for a banned one. A change shows at once."""


class EngagementCounts(Protocol):
    """Counts of posts, and the reader's own likes and saves. Raises UnavailableError."""

    async def of(self, reader_id: int | None, post_ids: Sequence[int]) -> dict[int, Engagement]: ...
