"""Posts as readers and other services see them."""

import asyncio
from collections.abc import Sequence, Set
from contextlib import suppress

from libs.common.core.errors import NotFoundError, UnavailableError
from libs.common.core.ids import MAX_ID, first_id_at, now_ms
from libs.common.core.paging import Page, Placed, visible_page
from libs.contracts.internal.post import RankingFeatures
from libs.contracts.public import Author, Engagement, Post, PostRecord
from libs.invalidation import IsStillValid, StaleIfErrorCache
from services.post.domain import NOBODY, Status, StoredPost, normal_tag
from services.post.ports import Authors, Marks, PostStore

CLOCKS_APART_MS = 60_000  # the minting replica may be ahead of this one by so much
STORE_READS = 64  # reads of one request under way at once


class CachedAuthors:
    """Asks for profiles, and shows each reader those last shown to them while nobody answers."""

    def __init__(self, authors: Authors, still: IsStillValid) -> None:
        self._authors = authors
        self._shown = StaleIfErrorCache[Author](still)

    async def post_authors(self, reader_id: int | None, user_ids: Sequence[int]) -> dict[int, Author]:
        return await self._shown.get(reader_id, user_ids, lambda: self._authors.post_authors(reader_id, user_ids))


class PostReader:
    """Use cases that read."""

    def __init__(self, store: PostStore, authors: Authors, marks: Marks, public_url: str) -> None:
        self._store = store
        self._authors = authors
        self._marks = marks
        self._public_url = public_url

    async def stored(self, reader_id: int | None, post_id: int) -> StoredPost:
        """The post, if the reader may see it. Raises NotFoundError."""
        shown = await self._shown(reader_id, await self._find(reader_id, post_id))
        if not shown:
            raise NotFoundError
        return shown[0]

    async def one(self, reader_id: int | None, post_id: int) -> Post:
        """One post. Raises NotFoundError."""
        posts = await self._find(reader_id, post_id)
        if not posts:
            await self._ask_as_for_hidden(reader_id, post_id)
            raise NotFoundError
        return await self.present(reader_id, posts[0])

    async def present(self, reader_id: int | None, post: StoredPost) -> Post:
        """A post that is at hand. Raises NotFoundError: its author is hidden from the reader."""
        posts = await self._compose(reader_id, [post])
        if not posts:
            raise NotFoundError
        return posts[0]

    async def _ask_as_for_hidden(self, reader_id: int | None, post_id: int) -> None:
        """What is asked for a post that is hidden: the time of a 404 must not tell it from one that is not there."""

        async def ask_for_marks() -> None:
            with suppress(UnavailableError):
                await self._marks.of(reader_id, [post_id])

        await asyncio.gather(self._authors.post_authors(reader_id, [NOBODY]), ask_for_marks())

    async def _find(self, reader_id: int | None, post_id: int) -> list[StoredPost]:
        """The post, unless it is deleted, or not published and another's."""
        post = await self._store.get(post_id)
        return [post] if post and post.visible_to(reader_id) else []

    async def _shown(self, reader_id: int | None, posts: Sequence[StoredPost]) -> list[StoredPost]:
        """Those whose author is not hidden from the reader. Without posts as much is asked as for a hidden one."""
        seen = await self._seen(reader_id, {post.author_id for post in posts} or {NOBODY})
        return [post for post in posts if post.author_id in seen]

    async def _seen(self, reader_id: int | None, author_ids: Set[int]) -> set[int | None]:
        """Those who are not hidden from the reader, and the reader, who is not asked for."""
        others = author_ids - {reader_id}
        return {reader_id, *(await self._authors.post_authors(reader_id, list(others)) if others else ())}

    async def by_author(self, reader_id: int | None, author_id: int, before_id: int | None, limit: int) -> Page[Post]:
        """Published posts of an author, newest first. Raises NotFoundError for one who is not there or hidden."""
        if author_id not in await self._authors.post_authors(reader_id, [author_id]):
            raise NotFoundError

        async def read(before: int, count: int) -> list[Placed[int]]:
            found = await self._store.by_author(author_id, 0, before, count)
            return [(post_id, post_id) for post_id in found]

        async def show(rows: Sequence[Placed[int]]) -> list[Placed[Post]]:
            return [(post.post_id, post) for post in await self.hydrate(reader_id, [post_id for post_id, _ in rows])]

        return await visible_page(read, show, _newest() if before_id is None else before_id, limit)

    async def by_hashtag(self, reader_id: int | None, tag: str, before_id: int | None, limit: int) -> Page[Post]:
        """Published posts with a hashtag, newest first. Raises NotFoundError for what can be no tag."""
        normal = normal_tag(tag)
        if normal is None:
            raise NotFoundError

        async def read(before: int, count: int) -> list[Placed[int | None]]:
            return await self._store.by_hashtag(normal, before, count)

        async def show(rows: Sequence[Placed[int | None]]) -> list[Placed[Post]]:
            seen = {None, *(await self._seen(reader_id, {author_id for _, author_id in rows if author_id is not None}))}
            posts = await self.hydrate(reader_id, [post_id for post_id, author_id in rows if author_id in seen])
            return [(post.post_id, post) for post in posts if normal in post.hashtags]

        return await visible_page(read, show, _newest() if before_id is None else before_id, limit)

    async def hydrate(self, reader_id: int | None, post_ids: Sequence[int]) -> list[Post]:
        """Published posts in the order asked for; others, and those hidden from the reader, are left out."""
        posts = {post.post_id: post for post in await self._store.get_many(post_ids)}
        published = [posts[p] for p in post_ids if p in posts and posts[p].status is Status.PUBLISHED]
        return await self._compose(reader_id, published)

    async def records(self, post_ids: Sequence[int], reader_id: int | None = None) -> list[PostRecord]:
        """Published posts as services hand them around, with the counts last told; with a reader, those shown."""
        posts = [post for post in await self._store.get_many(post_ids) if post.status is Status.PUBLISHED]
        return [_record(post) for post in (posts if reader_id is None else await self._shown(reader_id, posts))]

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        """Of the published ones, in any order."""
        return await self._store.ranking_features(post_ids)

    async def recent(
        self, author_ids: Sequence[int], after_id: int, before_id: int | None, limit_each: int
    ) -> list[tuple[int, int]]:
        """(author, post) pairs between the bounds, newest first for each author."""
        slots = asyncio.Semaphore(STORE_READS)

        async def of(author_id: int) -> list[tuple[int, int]]:
            async with slots:
                upper = min(_newest(), before_id or MAX_ID)
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


def _newest() -> int:
    """Above every id that there is: buckets of the future are not looked into."""
    return first_id_at(now_ms() + CLOCKS_APART_MS)


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
