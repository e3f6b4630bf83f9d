"""Use cases that read posts."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from contextlib import suppress

from cachetools import TTLCache

from libs.common.core.errors import NotFoundError, UnavailableError
from libs.common.core.ids import MAX_ID, first_id_at, now_ms
from libs.common.core.paging import Page, Placed, visible_page
from libs.contracts.internal.post import RankingFeatures
from libs.contracts.public import Author, Engagement, Post, PostRecord
from libs.invalidation import CACHED_MAX, CACHED_S, IsStillValid, StaleIfErrorCache
from libs.telemetry.caches import count_reads
from services.post.domain import UNKNOWN_USER_ID, PublishStatus, StoredPost, normalized_tag
from services.post.ports import AuthorProfiles, EngagementCounts, PostStore, UserProfiles

CLOCK_SKEW_MS = 60_000  # the clock of the replica that minted an id may be as far ahead
STORE_READS = 64  # concurrent reads of one request


class CachedAuthors:
    """Profiles of authors. While the user service is unavailable, shows each reader the profiles last shown to them.

    Args:
        read_stamp: returns the cache invalidation stamp of an author's profile. Raises UnavailableError.
    """

    def __init__(
        self, authors: UserProfiles, is_still_valid: IsStillValid, read_stamp: Callable[[int], Awaitable[bytes]]
    ) -> None:
        self._authors = authors
        self._cache = StaleIfErrorCache[Author](is_still_valid)
        self._read_stamp = read_stamp
        self._own: TTLCache[int, tuple[bytes, Author]] = TTLCache(CACHED_MAX, CACHED_S)

    async def own(self, author_id: int) -> Author | None:
        stamp: bytes | None = None
        with suppress(UnavailableError):
            stamp = await self._read_stamp(author_id)
        cached_under, cached = self._own.get(author_id, (b"", None))
        is_hit = cached is not None and cached_under == stamp
        count_reads("own_author", hits=int(is_hit), misses=int(not is_hit))
        if is_hit:
            return cached

        async def ask() -> dict[int, Author]:
            found = await self._authors.post_authors(author_id, [author_id])
            if stamp is not None and author_id in found:
                self._own[author_id] = stamp, found[author_id]
            return found

        return (await self._cache.get(author_id, [author_id], ask)).get(author_id)

    async def post_authors(self, reader_id: int | None, user_ids: Sequence[int]) -> dict[int, Author]:
        return await self._cache.get(reader_id, user_ids, lambda: self._authors.post_authors(reader_id, user_ids))


class PostReader:
    """Reads posts for readers and for other services."""

    def __init__(self, store: PostStore, authors: AuthorProfiles, marks: EngagementCounts, public_url: str) -> None:
        self._store = store
        self._authors = authors
        self._marks = marks
        self._public_url = public_url

    async def stored(self, reader_id: int | None, post_id: int) -> StoredPost:
        """Return the post if the reader may see it. Raises NotFoundError."""
        visible = await self._with_visible_author(reader_id, await self._readable(reader_id, post_id))
        if not visible:
            raise NotFoundError
        return visible[0]

    async def one(self, reader_id: int | None, post_id: int) -> Post:
        """Return the public form of a post. Raises NotFoundError."""
        posts = await self._readable(reader_id, post_id)
        if not posts:
            await self._call_as_for_hidden(reader_id, post_id)
            raise NotFoundError
        return await self.present(reader_id, posts[0])

    async def present(self, reader_id: int | None, post: StoredPost) -> Post:
        """Return the public form of a stored post. Raises NotFoundError when its author is hidden from the reader."""
        posts = await self._compose(reader_id, [post])
        if not posts:
            raise NotFoundError
        return posts[0]

    async def present_new(self, author_id: int, post: StoredPost) -> Post:
        """Do the same for a post that its author created now, so that it has no counts and marks to ask for."""
        author = await self._authors.own(author_id)
        if author is None:
            raise NotFoundError
        return Post.of(_record(post), author, Engagement(), self._public_url)

    async def _call_as_for_hidden(self, reader_id: int | None, post_id: int) -> None:
        """Make the calls of a hidden post, so that the time of a 404 does not reveal whether the post exists."""

        async def ask_for_marks() -> None:
            with suppress(UnavailableError):
                await self._marks.of(reader_id, [post_id])

        await asyncio.gather(self._authors.post_authors(reader_id, [UNKNOWN_USER_ID]), ask_for_marks())

    async def _readable(self, reader_id: int | None, post_id: int) -> list[StoredPost]:
        """Return the post, or an empty list if it is deleted, or unpublished and not the reader's own."""
        post = await self._store.get(post_id)
        return [post] if post and post.visible_to(reader_id) else []

    async def _with_visible_author(self, reader_id: int | None, posts: Sequence[StoredPost]) -> list[StoredPost]:
        """Return posts whose author is not hidden from the reader."""
        # Without posts, ask for an unknown user: the response time must not depend on whether a post exists.
        visible = await self._visible_authors(reader_id, {post.author_id for post in posts} or {UNKNOWN_USER_ID})
        return [post for post in posts if post.author_id in visible]

    async def _visible_authors(self, reader_id: int | None, author_ids: Set[int]) -> set[int | None]:
        """Return authors who are not hidden from the reader. The reader is included without a call."""
        others = author_ids - {reader_id}
        return {reader_id, *(await self._authors.post_authors(reader_id, list(others)) if others else ())}

    async def by_author(self, reader_id: int | None, author_id: int, before_id: int | None, limit: int) -> Page[Post]:
        """Return published posts of an author, newest first. Raises NotFoundError for an unknown or hidden author."""
        if author_id not in await self._authors.post_authors(reader_id, [author_id]):
            raise NotFoundError

        async def read(before: int, count: int) -> list[Placed[int]]:
            found = await self._store.by_author(author_id, 0, before, count)
            return [(post_id, post_id) for post_id in found]

        async def show(rows: Sequence[Placed[int]]) -> list[Placed[Post]]:
            return [(post.post_id, post) for post in await self.hydrate(reader_id, [post_id for post_id, _ in rows])]

        return await visible_page(read, show, _upper_id() if before_id is None else before_id, limit)

    async def by_hashtag(self, reader_id: int | None, tag: str, before_id: int | None, limit: int) -> Page[Post]:
        """Return published posts with a hashtag, newest first. Raises NotFoundError for an invalid tag."""
        normalized = normalized_tag(tag)
        if normalized is None:
            raise NotFoundError

        async def read(before: int, count: int) -> list[Placed[int | None]]:
            return await self._store.by_hashtag(normalized, before, count)

        async def show(rows: Sequence[Placed[int | None]]) -> list[Placed[Post]]:
            author_ids = {author_id for _, author_id in rows if author_id is not None}
            visible = {None, *(await self._visible_authors(reader_id, author_ids))}
            posts = await self.hydrate(reader_id, [post_id for post_id, author_id in rows if author_id in visible])
            return [(post.post_id, post) for post in posts if normalized in post.hashtags]

        return await visible_page(read, show, _upper_id() if before_id is None else before_id, limit)

    async def hydrate(self, reader_id: int | None, post_ids: Sequence[int]) -> list[Post]:
        """Return the public form of published posts that the reader may see, in the order of `post_ids`."""
        posts = {post.post_id: post for post in await self._store.get_many(post_ids)}
        published = [posts[p] for p in post_ids if p in posts and posts[p].status is PublishStatus.PUBLISHED]
        return await self._compose(reader_id, published)

    async def records(self, post_ids: Sequence[int], reader_id: int | None = None) -> list[PostRecord]:
        """Return published posts with the counts last received. With a reader, only those the reader may see."""
        posts = [post for post in await self._store.get_many(post_ids) if post.status is PublishStatus.PUBLISHED]
        visible = posts if reader_id is None else await self._with_visible_author(reader_id, posts)
        return [_record(post) for post in visible]

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        return await self._store.ranking_features(post_ids)

    async def recent(
        self, author_ids: Sequence[int], after_id: int, before_id: int | None, limit_each: int
    ) -> list[tuple[int, int]]:
        """Return (author, post) pairs between the bounds, newest first for each author."""
        slots = asyncio.Semaphore(STORE_READS)

        async def of(author_id: int) -> list[tuple[int, int]]:
            async with slots:
                upper = min(_upper_id(), before_id or MAX_ID)
                found = await self._store.by_author(author_id, after_id, upper, limit_each)
            return [(author_id, post_id) for post_id in found]

        pages = await asyncio.gather(*(of(author_id) for author_id in author_ids))
        return [pair for page in pages for pair in page]

    async def _compose(self, reader_id: int | None, posts: Sequence[StoredPost]) -> list[Post]:
        if not posts:
            return []
        authors, marks = await asyncio.gather(
            self._authors.post_authors(reader_id, list({post.author_id for post in posts})),
            self._marks_of(reader_id, posts),
        )
        return [
            Post.of(_record(post), authors[post.author_id], marks.get(post.post_id, Engagement()), self._public_url)
            for post in posts
            if post.author_id in authors
        ]

    async def _marks_of(self, reader_id: int | None, posts: Sequence[StoredPost]) -> dict[int, Engagement]:
        try:
            return await self._marks.of(reader_id, [post.post_id for post in posts])
        except UnavailableError:
            return {post.post_id: Engagement(**post.counts.model_dump()) for post in posts}


def _upper_id() -> int:
    """Return an id above all existing ids, so that buckets of the future are not read."""
    return first_id_at(now_ms() + CLOCK_SKEW_MS)


def _record(post: StoredPost) -> PostRecord:
    return PostRecord(
        post_id=post.post_id,
        author_id=post.author_id,
        media=post.media,
        caption=post.caption,
        hashtags=post.hashtags,
        mentions=post.mentions,
        location=post.location,
        counts=post.counts,
        status=post.status,
        version=post.version,
        created_at=post.created_at,
        edited_at=post.edited_at,
    )
