"""Posts: what is in a caption, where a post is listed, when it may be seen. Pure functions."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from libs.common.contracts.media import MediaDocument
from libs.common.contracts.public import Counts, Location
from libs.common.ids import id_time

MAX_HASHTAGS = 30
MAX_MENTIONS = 20
MAX_TAG_CHARS = 100
RAW_TAG_CHARS = 4 * MAX_TAG_CHARS + 1  # before NFKC, which makes one of at most four, but eighteen of one; and the #
FIRST_YEAR = 2024  # ids begin here
CREATED_VERSION = 1
_TAG = re.compile(r"(?<![\w&#])#(\w+)")
_MENTION = re.compile(r"(?<![\w@])@([A-Za-z0-9_]{3,30})(?!\w)")


class Status(StrEnum):
    """Where a post stands."""

    PROCESSING = "processing"
    PUBLISHED = "published"
    FAILED = "failed"
    DELETED = "deleted"


class MediaStatus(StrEnum):
    """Where an upload stands."""

    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class MediaState:
    """An upload, as the media service tells it."""

    media_id: int
    owner_id: int
    status: MediaStatus
    reason: str | None
    document: MediaDocument | None


@dataclass(frozen=True, slots=True)
class Draft:
    """What an author sends."""

    caption: str
    media_ids: tuple[int, ...]
    hashtags: tuple[str, ...]
    location: Location | None


@dataclass(frozen=True, slots=True)
class StoredPost:
    """A post as its row."""

    post_id: int
    author_id: int
    caption: str
    hashtags: tuple[str, ...]
    mentions: tuple[str, ...]
    location: Location | None
    media_ids: tuple[int, ...]
    media: tuple[MediaDocument, ...]
    status: Status
    reason: str | None
    version: int
    created_at: datetime
    edited_at: datetime | None
    counts: Counts = field(default_factory=Counts)

    def visible_to(self, reader_id: int | None) -> bool:
        """Published posts are for all; one on its way or failed is for its author; a deleted one for nobody."""
        if self.status is Status.DELETED:
            return False
        return self.status is Status.PUBLISHED or reader_id == self.author_id


class Trait(NamedTuple):
    """As much of a published post as a feed needs to rank it; goes over the wire as an array."""

    post_id: int
    author_id: int
    like_count: int
    comment_count: int
    save_count: int


def normal_tag(text: str) -> str | None:
    """The tag as it is stored (NFKC, lower case, without #), or None when it is no tag."""
    if len(text) > RAW_TAG_CHARS:
        return None
    tag = unicodedata.normalize("NFKC", text).lower().removeprefix("#")
    return tag if re.fullmatch(r"\w+", tag) and len(tag) <= MAX_TAG_CHARS else None


def hashtags_of(caption: str, explicit: Iterable[str] = ()) -> tuple[str, ...]:
    """The tags of a post, explicit ones first, each once, at most 30."""
    found = (normal_tag(text) for text in (*explicit, *_TAG.findall(caption)))
    return tuple(dict.fromkeys(tag for tag in found if tag))[:MAX_HASHTAGS]


def mentions_of(caption: str) -> tuple[str, ...]:
    """The usernames that a caption names, each once, at most 20."""
    return tuple(dict.fromkeys(name.lower() for name in _MENTION.findall(caption)))[:MAX_MENTIONS]


def year_of(post_id: int) -> int:
    """The bucket of the author's list that a post is in."""
    return id_time(post_id).year


def month_of(post_id: int) -> int:
    """The bucket of a hashtag's list that a post is in: months since year 0."""
    at = id_time(post_id)
    return at.year * 12 + at.month - 1


def years_down(from_id: int, to_id: int = 0) -> Iterator[int]:
    """Buckets from the newest that may hold `from_id` to the one of `to_id`."""
    return iter(range(year_of(from_id), max(FIRST_YEAR, year_of(to_id)) - 1, -1))


def months_down(from_id: int) -> Iterator[int]:
    """Buckets from the newest that may hold `from_id` to the first."""
    return iter(range(month_of(from_id), FIRST_YEAR * 12 - 1, -1))


def failure_of(states: Sequence[MediaState]) -> str | None:
    """Why the post can't be shown: the first failed upload's reason."""
    return next((s.reason or "media_failed" for s in states if s.status is MediaStatus.FAILED), None)


def all_ready(states: Sequence[MediaState], media_ids: Sequence[int]) -> tuple[MediaDocument, ...] | None:
    """The documents in the post's order, or None while one is missing."""
    documents = {s.media_id: s.document for s in states if s.status is MediaStatus.READY and s.document}
    if any(media_id not in documents for media_id in media_ids):
        return None
    return tuple(documents[media_id] for media_id in media_ids)
