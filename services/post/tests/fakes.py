"""In-memory implementations of the ports."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from libs.common.core.errors import UnavailableError
from libs.contracts.events import PostCounted
from libs.contracts.internal.post import RankingFeatures
from libs.contracts.media import Dimensions, MediaDocument
from libs.contracts.public import Author, Counts, Engagement
from libs.contracts.records import EventRecord
from libs.media.readiness import MediaReadiness, MediaStatus
from services.post.domain import Draft, PublishStatus, StoredPost

AUTHOR, OTHER = 11, 12


def document(media_id: int) -> MediaDocument:
    return MediaDocument(
        media_id=media_id,
        owner_id=AUTHOR,
        paths={"thumbnail": f"aa/{AUTHOR}/{media_id}/{'0' * 32}/thumbnail.webp"},
        dimensions=Dimensions(width=3, height=4),
        placeholder="L",
        dominant_color="#000000",
    )


def ready(media_id: int, owner_id: int = AUTHOR) -> MediaReadiness:
    return MediaReadiness(media_id, owner_id, MediaStatus.READY, None, document(media_id))


def processing(media_id: int) -> MediaReadiness:
    return MediaReadiness(media_id, AUTHOR, MediaStatus.PROCESSING, None, None)


def failed(media_id: int) -> MediaReadiness:
    return MediaReadiness(media_id, AUTHOR, MediaStatus.FAILED, "corrupt", None)


def draft(*media_ids: int, caption: str = "a #caption") -> Draft:
    return Draft(caption, media_ids, (), None)


class InMemoryMediaReadiness:
    """Implements `MediaReadinessStore`."""

    def __init__(self) -> None:
        self.waiting: set[tuple[int, int]] = set()
        self.stored: dict[int, MediaReadiness] = {}

    async def save_result(self, media: MediaReadiness) -> None:
        if media.document or media.media_id not in self.stored:
            self.stored[media.media_id] = media

    async def delete_result(self, media_id: int) -> None:
        self.stored.pop(media_id, None)

    async def results(self, media_ids: Sequence[int]) -> list[MediaReadiness]:
        return [self.stored[m] for m in media_ids if m in self.stored]

    async def waiting_for(self, media_id: int) -> list[int]:
        return [post_id for m, post_id in self.waiting if m == media_id]


class InMemoryPosts:
    """Implements `ports.PostStore`.

    Marks are only ever set, and the write with the higher version stays, as in the real store.
    """

    def __init__(self) -> None:
        self.rows: dict[int, StoredPost] = {}
        self.listed: set[int] = set()
        self.tagged: dict[tuple[str, int], tuple[int, bool]] = {}  # (version, removed)
        self.readiness = InMemoryMediaReadiness()
        self.deleted: set[int] = set()
        self.read: list[int] = []
        self.authorless: set[int] = set()  # posts whose rows in hashtag lists name no author

    @property
    def tags(self) -> set[tuple[str, int]]:
        return {place for place, (_, gone) in self.tagged.items() if not gone}

    def _tag(self, post: StoredPost, tags: Iterable[str], *, gone: bool = False) -> None:
        for place in ((tag, post.post_id) for tag in tags):
            self.tagged[place] = max(self.tagged.get(place, (0, False)), (post.version, gone))

    async def get(self, post_id: int) -> StoredPost | None:
        row = self.rows.get(post_id)
        return replace(row, status=PublishStatus.DELETED) if row and post_id in self.deleted else row

    async def get_many(self, post_ids: Sequence[int]) -> list[StoredPost]:
        self.read += post_ids
        return [post for p in set(post_ids) if (post := await self.get(p))]

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        posts = [post for post in await self.get_many(post_ids) if post.status is PublishStatus.PUBLISHED]
        return [
            RankingFeatures(p.post_id, p.author_id, p.counts.like_count, p.counts.comment_count, p.counts.save_count)
            for p in posts
        ]

    async def create(self, post: StoredPost, events: Sequence[EventRecord] = ()) -> None:
        if post.post_id not in self.rows:
            self.rows[post.post_id] = replace(post, media=(), status=PublishStatus.PROCESSING)
            self.readiness.waiting |= {(media_id, post.post_id) for media_id in post.media_ids}
        if post.status is PublishStatus.PUBLISHED:
            await self.publish(post, events)

    async def publish(self, post: StoredPost, events: Sequence[EventRecord]) -> None:
        self.rows[post.post_id] = replace(self.rows[post.post_id], media=post.media, status=PublishStatus.PUBLISHED)
        self.listed.add(post.post_id)
        self._tag(post, post.hashtags)
        self.readiness.waiting -= {(media_id, post.post_id) for media_id in post.media_ids}

    async def fail(self, post_id: int, reason: str) -> None:
        self.rows[post_id] = replace(self.rows[post_id], status=PublishStatus.FAILED, reason=reason)

    async def edit(self, before: StoredPost, after: StoredPost, events: Sequence[EventRecord]) -> None:
        row = self.rows[after.post_id]
        if after.version > row.version:
            self.rows[after.post_id] = replace(after, media=row.media, status=row.status, reason=row.reason)
        self._tag(after, set(before.hashtags) - set(after.hashtags), gone=True)
        self._tag(after, after.hashtags)

    async def delete(self, post: StoredPost, events: Sequence[EventRecord]) -> None:
        self.deleted.add(post.post_id)
        self.listed.discard(post.post_id)
        self._tag(post, post.hashtags, gone=True)

    async def by_author(self, author_id: int, after_id: int, before_id: int, limit: int) -> list[int]:
        found = [p for p in self.listed if self.rows[p].author_id == author_id and after_id < p < before_id]
        return sorted(found, reverse=True)[:limit]

    async def by_hashtag(self, tag: str, before_id: int, limit: int) -> list[tuple[int, int | None]]:
        found = sorted((p for t, p in self.tags if t == tag and p < before_id), reverse=True)[:limit]
        return [(post_id, None if post_id in self.authorless else self.rows[post_id].author_id) for post_id in found]

    async def save_counts(self, counted: PostCounted) -> None:
        post = self.rows[counted.post_id]
        self.rows[counted.post_id] = replace(post, counts=Counts(like_count=counted.like_count))


class Recorded:
    """A port whose calls are added to a list, as `name.method`."""

    def __init__(self, name: str, port: Any, calls: list[str]) -> None:
        self._name, self._port, self._calls = name, port, calls

    def __getattr__(self, method: str) -> Any:
        def call(*args: Any) -> Any:
            self._calls.append(f"{self._name}.{method}")
            return getattr(self._port, method)(*args)

        return call


class InMemoryMedia:
    def __init__(self, *states: MediaReadiness) -> None:
        self.known = {state.media_id: state for state in states}

    async def states(self, media_ids: Sequence[int]) -> list[MediaReadiness]:
        return [self.known[m] for m in media_ids if m in self.known]

    async def store(self, owner_id: int, body: bytes) -> int:
        media_id = len(self.known) + 1
        self.known[media_id] = MediaReadiness(media_id, owner_id, MediaStatus.PROCESSING, None, None)
        return media_id


class InMemoryAuthors:
    def __init__(self) -> None:
        self.down = False
        self.hidden: set[tuple[int | None, int]] = set()
        self.asked = 0

    async def own(self, author_id: int) -> Author | None:
        return (await self.post_authors(author_id, [author_id])).get(author_id)

    async def post_authors(self, reader_id: int | None, user_ids: Sequence[int]) -> dict[int, Author]:
        if self.down:
            raise UnavailableError
        self.asked += 1
        known = (u for u in user_ids if u in (AUTHOR, OTHER) and (reader_id, u) not in self.hidden)
        return {u: Author(user_id=u, username=f"user_{u}", display_name="") for u in known}


class InMemoryMarks:
    def __init__(self) -> None:
        self.down = False
        self.asked = 0

    async def of(self, reader_id: int | None, post_ids: Sequence[int]) -> dict[int, Engagement]:
        if self.down:
            raise UnavailableError
        self.asked += 1
        return {p: Engagement(like_count=9, is_liked=reader_id is not None) for p in post_ids}
