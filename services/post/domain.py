"""Posts: what is in a caption, where a post is listed, when it may be seen. Pure functions."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from libs.common.core.ids import id_time
from libs.contracts.media import MediaDocument
from libs.contracts.public import Counts, Location

MAX_HASHTAGS = 30
MAX_MENTIONS = 20
MAX_TAG_CHARS = 100  # code points
RAW_TAG_CHARS = 4 * MAX_TAG_CHARS + 1  # before NFKC, which makes one of at most four, but eighteen of one; and the #
FIRST_YEAR = 2024  # ids begin here
CREATED_VERSION = 1
NOBODY = 0  # nobody has this id
_JOINERS = "\u200c\u200d"  # zero-width: part of words in Persian and in many scripts of India
_ADDED = f"{_JOINERS}\u30fb\uff65"  # XID_Continue since Unicode 15.1, which Python has from 3.13 on
_MENTION = re.compile(r"@([A-Za-z0-9_]{3,30})")
_ADDRESS = re.compile(
    r"(?i)(?:https?://|(?<!\w)www\.)(?:(?![,;!)]{1,3}[#@])\S)+"
    r"|(?<![\w.+-])[\w.+-]++@[\w-]+(?:\.[\w-]+)+"
    r"|(?<![\w.-])[\w-]++(?:\.[\w-]++)++(?:[/?]|:\d)\S*"
)
"""URLs, e-mail addresses, and `host.name/path`. Linear in the length of the text."""


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
    explicit_hashtags: tuple[str, ...] = ()
    """Those that the author named beside the caption."""
    counts: Counts = field(default_factory=Counts)

    def visible_to(self, reader_id: int | None) -> bool:
        """Published posts are for all; one on its way or failed is for its author; a deleted one for nobody."""
        if self.status is Status.DELETED:
            return False
        return self.status is Status.PUBLISHED or reader_id == self.author_id


def normal_tag(text: str) -> str | None:
    """The tag as it is stored (NFKC, lower case, without #), or None when it is no tag."""
    if len(text) > RAW_TAG_CHARS:
        return None
    tag = _normal(text).removeprefix("#")
    return tag if tag and _word_end(tag, 0) == len(tag) and _is_tag(tag) else None


def hashtags_of(caption: str, explicit: Iterable[str] = ()) -> tuple[str, ...]:
    """The tags of a post, explicit ones first, each once.

    A tag in a caption is `#` and a word by UAX #31 (hashtag identifiers), in any script, with a letter in it. Words of
    more than 100 characters, and what is part of a URL or an e-mail address, are no tags.
    """
    return tuple(dict.fromkeys((*explicit, *_tags(_searchable(caption)))))


def _tags(text: str) -> Iterator[str]:
    at, end = text.find("#"), 0
    while at >= 0:
        if at == 0 or (text[at - 1] not in "&#" and (at == end or not _in_word(text[at - 1]))):
            end = _word_end(text, at + 1)
            # lower case by itself: of a Greek sigma it depends on what stands around
            if _is_tag(tag := _normal(text[at + 1 : end])):
                yield tag
        at = text.find("#", at + 1)


def mentions_of(caption: str) -> tuple[str, ...]:
    """The usernames that a caption names, in lower case, each once."""
    text = f" {_searchable(caption).lower()} "

    def stands_alone(match: re.Match[str]) -> bool:
        before, after = text[match.start() - 1], text[match.end()]
        return before != "@" and not _in_word(before) and not _in_word(after)

    return tuple(dict.fromkeys(match[1] for match in _MENTION.finditer(text) if stands_alone(match)))


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())


def _searchable(caption: str) -> str:
    """The caption without addresses, normalised, in its own case."""
    return unicodedata.normalize("NFKC", _ADDRESS.sub(" ", caption))


def _in_word(char: str) -> bool:
    """Whether it is XID_Continue in every Unicode version: a letter, mark, digit or connector."""
    return char not in _ADDED and f"a{char}".isidentifier()


def _word_end(text: str, at: int) -> int:
    """Where the word that begins at `at` ends. Joiners belong to it between two characters of a word."""
    start = at
    while at < len(text) and (
        _in_word(text[at]) or (text[at] in _JOINERS and start < at < len(text) - 1 and _in_word(text[at + 1]))
    ):
        at += 1
    return at


def _is_tag(word: str) -> bool:
    return len(word) <= MAX_TAG_CHARS and any(unicodedata.category(char)[0] == "L" for char in word)


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
