"""Posts in Cassandra.

Status is not a column. It follows from marks that are only ever set, so a delete wins in any order of writes. Text and
hashtags are written at the time of their version: the write with the higher version stays, and creating a post again
changes nothing.
"""

import asyncio
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from operator import itemgetter

import orjson
from cassandra.query import UNSET_VALUE

from libs.common.stores.cassandra import Bound, Cassandra, Row
from libs.common.stores.cassandra_outbox import CassandraOutbox, EventWritingStore
from libs.contracts.base import utc_now
from libs.contracts.events import PostCounted
from libs.contracts.internal.post import RankingFeatures
from libs.contracts.media import MediaDocument
from libs.contracts.public import Counts, Location
from libs.contracts.records import EventRecord
from libs.media.cassandra_readiness import CassandraMediaReadiness, readiness_cql
from libs.media.paths import SecretPaths
from services.post.domain import (
    PublishStatus,
    StoredPost,
    month_of,
    months_down,
    year_of,
    years_down,
)

MONTHS_PER_READ = 12
_FIRST_RULE = re.compile(r"(?<![\w&#])#(\w+)")  # the rule for hashtags before the column explicit_hashtags existed
KEYS_PER_READ = 20  # requests cost the driver more than keys, but more keys would overload one coordinator


def _status(row: Row) -> PublishStatus:
    if row.deleted_at:
        return PublishStatus.DELETED
    if row.published_at:
        return PublishStatus.PUBLISHED
    return PublishStatus.FAILED if row.failed_reason else PublishStatus.PROCESSING


def _text(post: StoredPost) -> tuple[object, ...]:
    return post.caption, list(post.hashtags), list(post.mentions)


def _location(location: Location | None) -> str | None:
    return location.model_dump_json() if location else None


def _media(documents: Iterable[MediaDocument]) -> str:
    return orjson.dumps([document.model_dump(mode="json") for document in documents]).decode()


def _utc(value: datetime | None) -> datetime | None:
    return value and value.replace(tzinfo=UTC)


def _explicit(row: Row) -> tuple[str, ...]:
    if row.explicit_hashtags is not None:
        return tuple(row.explicit_hashtags)
    # The row is older than the column: the tags that the rule of that time did not find in the caption.
    words = _FIRST_RULE.findall(row.caption or "")
    in_caption = {unicodedata.normalize("NFKC", word).lower() for word in words}
    return tuple(tag for tag in row.hashtags or () if tag not in in_caption)


def _post(row: Row, paths: SecretPaths) -> StoredPost:
    return StoredPost(
        post_id=row.post_id,
        author_id=row.author_id,
        caption=row.caption or "",
        hashtags=tuple(row.hashtags or ()),
        mentions=tuple(row.mentions or ()),
        location=Location.model_validate_json(row.location) if row.location else None,
        media_ids=tuple(row.media_ids or ()),
        media=tuple(paths.document(MediaDocument.model_validate(item)) for item in orjson.loads(row.media or "[]")),
        status=_status(row),
        reason=row.failed_reason,
        version=row.version,
        created_at=row.created_at.replace(tzinfo=UTC),
        edited_at=_utc(row.edited_at),
        explicit_hashtags=_explicit(row),
        counts=Counts(
            like_count=row.like_count or 0,
            comment_count=row.comment_count or 0,
            save_count=row.save_count or 0,
            view_count=row.view_count or 0,
        ),
    )


class PostMediaReadiness(CassandraMediaReadiness):
    """Implements `MediaReadinessStore` for posts."""

    cql = readiness_cql(waiting="waiting_posts", content_id="post_id", results="media_outcomes")


class CassandraPostStore(EventWritingStore):
    """Implements `services.post.ports.PostStore`."""

    cql = {
        "get": "SELECT * FROM posts_by_id WHERE post_id = ?",
        "get_many": "SELECT * FROM posts_by_id WHERE post_id IN ?",
        "ranking_features": (
            "SELECT post_id, author_id, published_at, deleted_at, like_count, comment_count, save_count"
            " FROM posts_by_id WHERE post_id IN ?"
        ),
        "create": (
            "INSERT INTO posts_by_id"
            " (post_id, author_id, caption, hashtags, mentions, location, explicit_hashtags, media_ids,"
            " version, created_at, media, published_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
        ),
        "publish": "UPDATE posts_by_id SET media = ?, published_at = ? WHERE post_id = ?",
        "list": "INSERT INTO posts_by_user (author_id, year, post_id) VALUES (?, ?, ?)",
        "unlist": "DELETE FROM posts_by_user WHERE author_id = ? AND year = ? AND post_id = ?",
        "tag": "INSERT INTO posts_by_hashtag (tag, month, post_id, author_id) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
        "untag": "DELETE FROM posts_by_hashtag USING TIMESTAMP ? WHERE tag = ? AND month = ? AND post_id = ?",
        "fail": "UPDATE posts_by_id SET failed_reason = ? WHERE post_id = ?",
        "edit": (
            "UPDATE posts_by_id USING TIMESTAMP ?"
            " SET caption = ?, hashtags = ?, mentions = ?, explicit_hashtags = ?, location = ?, version = ?,"
            " edited_at = ? WHERE post_id = ?"
        ),
        "delete": "UPDATE posts_by_id USING TIMESTAMP ? SET deleted_at = ?, version = ? WHERE post_id = ?",
        "by_user": (
            "SELECT post_id FROM posts_by_user WHERE author_id = ? AND year = ? AND post_id > ? AND post_id < ? LIMIT ?"
        ),
        "by_tag": (
            "SELECT post_id, author_id FROM posts_by_hashtag"
            " WHERE tag = ? AND month IN ? AND post_id < ? PER PARTITION LIMIT ?"
        ),
        "count": (
            "UPDATE posts_by_id USING TIMESTAMP ? SET like_count = ?, comment_count = ?, save_count = ?, view_count = ?"
            " WHERE post_id = ?"
        ),
    }

    def __init__(
        self,
        cassandra: Cassandra,
        outbox: CassandraOutbox,
        readiness: CassandraMediaReadiness,
        paths: SecretPaths,
    ) -> None:
        super().__init__(cassandra, outbox)
        self._readiness = readiness
        self._paths = paths

    async def get(self, post_id: int) -> StoredPost | None:
        row = await self._row("get", post_id)
        return _post(row, self._paths) if row and row.author_id is not None else None

    async def get_many(self, post_ids: Sequence[int]) -> list[StoredPost]:
        return [_post(row, self._paths) for row in await self._pages("get_many", post_ids) if row.author_id is not None]

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        return [
            RankingFeatures(
                row.post_id, row.author_id, row.like_count or 0, row.comment_count or 0, row.save_count or 0
            )
            for row in await self._pages("ranking_features", post_ids)
            if row.published_at and not row.deleted_at
        ]

    async def _pages(self, statement: str, post_ids: Sequence[int]) -> list[Row]:
        wanted = list(set(post_ids))
        pages = [wanted[start : start + KEYS_PER_READ] for start in range(0, len(wanted), KEYS_PER_READ)]
        reads = (self._rows(statement, page) for page in pages)
        return [row for rows in await asyncio.gather(*reads) for row in rows]

    async def create(self, post: StoredPost, events: Sequence[EventRecord] = ()) -> None:
        text = (*_text(post), _location(post.location), list(post.explicit_hashtags))
        row = (post.post_id, post.author_id, *text, list(post.media_ids), post.version, post.created_at)
        if post.status is PublishStatus.PUBLISHED:
            published, places = (_media(post.media), utc_now()), self._places(post)
        else:
            published = (UNSET_VALUE, UNSET_VALUE)
            places = self._readiness.wait(post.post_id, post.media_ids, post.version)
        await self._write([self._bound("create", *row, *published, post.version), *places], events)

    async def publish(self, post: StoredPost, events: Sequence[EventRecord]) -> None:
        published = self._bound("publish", _media(post.media), utc_now(), post.post_id)
        done = self._readiness.unwait(post.post_id, post.media_ids)
        await self._write([published, *self._places(post), *done], events)

    async def fail(self, post_id: int, reason: str) -> None:
        await self._rows("fail", reason, post_id)

    async def edit(self, before: StoredPost, after: StoredPost, events: Sequence[EventRecord]) -> None:
        # Writes only what differs, so that concurrent edits of text and location do not conflict.
        text, tags = (*_text(after), list(after.explicit_hashtags)), []
        if _text(after) == _text(before):
            text = (UNSET_VALUE,) * len(text)
        else:
            # Writes all tags, published or not: a concurrent publish or edit may have read another caption.
            removed = set(before.hashtags) - set(after.hashtags)
            tags = [*self._tag_deletes(after, removed), *self._tag_inserts(after)]
        location = UNSET_VALUE if after.location == before.location else _location(after.location)
        values = (after.version, *text, location, after.version, after.edited_at, after.post_id)
        await self._write([self._bound("edit", *values), *tags], events)

    async def delete(self, post: StoredPost, events: Sequence[EventRecord]) -> None:
        deleted = self._bound("delete", post.version, utc_now(), post.version, post.post_id)
        unlisted = self._bound("unlist", post.author_id, year_of(post.post_id), post.post_id)
        done = self._readiness.unwait(post.post_id, post.media_ids)
        await self._write([deleted, unlisted, *self._tag_deletes(post, post.hashtags), *done], events)

    async def by_author(self, author_id: int, after_id: int, before_id: int, limit: int) -> list[int]:
        def parameters(year: int, upper: int, wanted: int) -> tuple[int, ...]:
            return (author_id, year, after_id, upper, wanted)

        return await self._from_buckets("by_user", years_down(before_id, after_id), parameters, before_id, limit)

    async def by_hashtag(self, tag: str, before_id: int, limit: int) -> list[tuple[int, int | None]]:
        # Reads the newest month alone, which is enough for a popular tag, then a year at a time for rare tags.
        found: list[tuple[int, int | None]] = []
        newest, *older = months_down(before_id) or [0]
        for months in ([newest], *(older[i : i + MONTHS_PER_READ] for i in range(0, len(older), MONTHS_PER_READ))):
            wanted = limit - len(found)
            rows = await self._rows("by_tag", tag, months, before_id, wanted)
            found += sorted(((row.post_id, row.author_id) for row in rows), key=itemgetter(0), reverse=True)[:wanted]
            if len(found) >= limit:
                break
        return found

    async def save_counts(self, counted: PostCounted) -> None:
        counts = (counted.like_count, counted.comment_count, counted.save_count, counted.view_count)
        # The sequence is the write time, so Cassandra discards older counts.
        await self._rows("count", counted.sequence, *counts, counted.post_id)

    def _places(self, post: StoredPost) -> list[Bound]:
        """Return the statements that add the post to the lists of its author and hashtags."""
        listed = self._bound("list", post.author_id, year_of(post.post_id), post.post_id)
        return [listed, *self._tag_inserts(post)]

    def _tag_inserts(self, post: StoredPost) -> list[Bound]:
        row = (month_of(post.post_id), post.post_id, post.author_id)
        return [self._bound("tag", tag, *row, post.version) for tag in post.hashtags]

    def _tag_deletes(self, post: StoredPost, tags: Iterable[str]) -> list[Bound]:
        key = (month_of(post.post_id), post.post_id)
        return [self._bound("untag", post.version, tag, *key) for tag in tags]

    async def _from_buckets(
        self,
        statement: str,
        buckets: Iterable[int],
        parameters: Callable[[int, int, int], Sequence[object]],
        before_id: int,
        limit: int,
    ) -> list[int]:
        """Return ids from one bucket after the other, until `limit` is reached."""
        found: list[int] = []
        for bucket in buckets:
            values = parameters(bucket, before_id, limit - len(found))
            rows = await self._rows(statement, *values)
            found += [row.post_id for row in rows]
            if len(found) >= limit:
                break
        return found
