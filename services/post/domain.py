"""Posts: hashtags and mentions of captions, buckets of lists, visibility. Pure functions."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from libs.common.core.ids import id_time
from libs.contracts.media import MediaDocument
from libs.contracts.public import Counts, Location

MAX_HASHTAGS = 30
MAX_MENTIONS = 20
MAX_TAG_CHARS = 100  # code points
MAX_RAW_TAG_CHARS = (
    4 * MAX_TAG_CHARS + 1
)  # before NFKC, which composes up to four code points into one, and expands one into eighteen; plus the #
FIRST_YEAR = 2024  # the year of the first ids
CREATED_VERSION = 1
UNKNOWN_USER_ID = 0  # no user has this id
_JOINERS = "\u200c\u200d"  # zero-width characters: parts of words in Persian and in many scripts of India
_ADDED = f"{_JOINERS}\u30fb\uff65"  # XID_Continue since Unicode 15.1, which Python knows from 3.13 on
_MENTION = re.compile(r"@([A-Za-z0-9_]{3,30})")
_ADDRESS = re.compile(
    r"(?i)(?:https?://|(?<!\w)www\.)(?:(?![,;!)]{1,3}[#@])\S)+"
    r"|(?<![\w.+-])[\w.+-]++@[\w-]+(?:\.[\w-]+)+"
    r"|(?<![\w.-])[\w-]++(?:\.[\w-]++)++(?:[/?]|:\d)\S*"
)
"""URLs, e-mail addresses, and `host.name/path`. Linear in the length of the text."""


class PublishStatus(StrEnum):
    """The status of a post."""

    PROCESSING = "processing"
    PUBLISHED = "published"
    FAILED = "failed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Draft:
    """The content of a new post."""

    caption: str
    media_ids: tuple[int, ...]
    hashtags: tuple[str, ...]
    location: Location | None


@dataclass(frozen=True, slots=True)
class StoredPost:
    """A row of the posts table."""

    post_id: int
    author_id: int
    caption: str
    hashtags: tuple[str, ...]
    mentions: tuple[str, ...]
    location: Location | None
    media_ids: tuple[int, ...]
    media: tuple[MediaDocument, ...]
    status: PublishStatus
    reason: str | None
    version: int
    created_at: datetime
    edited_at: datetime | None
    explicit_hashtags: tuple[str, ...] = ()
    """Tags that the author gave in addition to the caption."""
    counts: Counts = field(default_factory=Counts)

    def visible_to(self, reader_id: int | None) -> bool:
        """Return whether a reader may see the post.

        Everybody may see a published post, only the author one that is processing or failed, nobody a deleted one.
        """
        if self.status is PublishStatus.DELETED:
            return False
        return self.status is PublishStatus.PUBLISHED or reader_id == self.author_id


def normalized_tag(text: str) -> str | None:
    """Return the tag as it is stored (NFKC, lower case, without #), or None for an invalid tag."""
    if len(text) > MAX_RAW_TAG_CHARS:
        return None
    tag = _normalized(text).removeprefix("#")
    return tag if tag and _word_end(tag, 0) == len(tag) and _is_tag(tag) else None


def hashtags_of(caption: str, explicit: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the distinct tags of a post, explicit ones first.

    A tag in a caption is `#` and a word by UAX #31 (hashtag identifiers), in any script, with at least one letter.
    Words of more than 100 characters, and parts of URLs and e-mail addresses, are not tags.
    """
    return tuple(dict.fromkeys((*explicit, *_tags(_searchable(caption)))))


def _tags(text: str) -> Iterator[str]:
    at, end = text.find("#"), 0
    while at >= 0:
        if at == 0 or (text[at - 1] not in "&#" and (at == end or not _in_word(text[at - 1]))):
            end = _word_end(text, at + 1)
            # lower-cased alone, because the lower case of a Greek sigma depends on its neighbours
            if _is_tag(tag := _normalized(text[at + 1 : end])):
                yield tag
        at = text.find("#", at + 1)


def mentions_of(caption: str) -> tuple[str, ...]:
    """Return the distinct usernames that a caption mentions, in lower case."""
    text = f" {_searchable(caption).lower()} "

    def stands_alone(match: re.Match[str]) -> bool:
        before, after = text[match.start() - 1], text[match.end()]
        return before != "@" and not _in_word(before) and not _in_word(after)

    return tuple(dict.fromkeys(match[1] for match in _MENTION.finditer(text) if stands_alone(match)))


def _normalized(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())


def _searchable(caption: str) -> str:
    """Return the caption without addresses, normalized (NFKC), in its original case."""
    return unicodedata.normalize("NFKC", _ADDRESS.sub(" ", caption))


def _in_word(char: str) -> bool:
    """Return whether it is XID_Continue in every Unicode version: a letter, mark, digit or connector."""
    return char not in _ADDED and f"a{char}".isidentifier()


def _word_end(text: str, at: int) -> int:
    """Return the end of the word that begins at `at`. A joiner between two characters of a word belongs to it."""
    start = at
    while at < len(text) and (
        _in_word(text[at]) or (text[at] in _JOINERS and start < at < len(text) - 1 and _in_word(text[at + 1]))
    ):
        at += 1
    return at


def _is_tag(word: str) -> bool:
    return len(word) <= MAX_TAG_CHARS and any(unicodedata.category(char)[0] == "L" for char in word)


def year_of(post_id: int) -> int:
    """Return the bucket of the post in the author's list."""
    return id_time(post_id).year


def month_of(post_id: int) -> int:
    """Return the bucket of the post in a hashtag's list: months since year 0."""
    at = id_time(post_id)
    return at.year * 12 + at.month - 1


def years_down(from_id: int, to_id: int = 0) -> Iterator[int]:
    """Return buckets from the newest that may hold `from_id` down to the one of `to_id`."""
    return iter(range(year_of(from_id), max(FIRST_YEAR, year_of(to_id)) - 1, -1))


def months_down(from_id: int) -> Iterator[int]:
    """Return buckets from the newest that may hold `from_id` down to the first."""
    return iter(range(month_of(from_id), FIRST_YEAR * 12 - 1, -1))
