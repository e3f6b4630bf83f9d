"""Orders, ranking, sessions and cursors of a feed: pure functions."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from libs.common.contracts.public import PostRecord

PAGE_SIZE = 20  # pages that diversity is measured on
MAX_OF_AUTHOR = 3  # posts of one author on such a page
HALF_LIFE_H = 6.0
_LIKE, _COMMENT, _SAVE = 0.5, 0.3, 0.2  # weights of scale §7.2
_RECENCY, _ENGAGEMENT = 0.4, 0.6


class Order(StrEnum):
    """How a feed is sorted."""

    RANKED = "ranked"
    CHRONOLOGICAL = "chronological"


class Source(StrEnum):
    """Why a post is in the feed."""

    OWN = "own"
    PUSHED = "pushed"
    PULLED = "pulled"


class Gap(StrEnum):
    """Why something may be missing."""

    REBUILDING = "rebuilding"
    SOURCE_DOWN = "source_down"


@dataclass(frozen=True, slots=True)
class Followees:
    """Whom the reader follows, and which of them are pulled at read time. `stale` when the graph could not be asked."""

    all: frozenset[int]
    pull: frozenset[int]
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Candidates:
    """Ids that may be in the feed, newest first; `complete` when nothing within the window is left out."""

    post_ids: tuple[int, ...]
    complete: bool
    degraded: bool = False


def quick_score(record: PostRecord, now: datetime) -> float:
    """Recency and engagement between about 0 and 1 (scale §7.2: half-life 6 h · 0.4, log engagement · 0.6)."""
    age_h = max(0.0, (now - record.created_at).total_seconds() / 3_600)
    counts = record.counts
    engagement = (
        _LIKE * math.log1p(counts.like_count)
        + _COMMENT * math.log1p(counts.comment_count)
        + _SAVE * math.log1p(counts.save_count)
    ) / 10
    recency = math.exp2(-age_h / HALF_LIFE_H)
    return _RECENCY * recency + _ENGAGEMENT * engagement


def rank(records: Iterable[PostRecord], now: datetime) -> list[int]:
    """Ids by score, at most three of an author on each page while others are left; equal scores newest first."""
    waiting = sorted(records, key=lambda record: (quick_score(record, now), record.post_id), reverse=True)
    order: list[int] = []
    while waiting:
        page, rest = _diverse_page(waiting)
        order += [record.post_id for record in page]
        waiting = rest
    return order


def _diverse_page(waiting: Sequence[PostRecord]) -> tuple[list[PostRecord], list[PostRecord]]:
    page: list[PostRecord] = []
    skipped: list[PostRecord] = []
    authors: Counter[int] = Counter()
    taken = 0
    for record in waiting:
        taken += 1
        if authors[record.author_id] < MAX_OF_AUTHOR:
            authors[record.author_id] += 1
            page.append(record)
            if len(page) == PAGE_SIZE:
                break
        else:
            skipped.append(record)
    rest = [*skipped, *waiting[taken:]]
    missing = PAGE_SIZE - len(page)  # too few authors: fill up with the best of the others
    return page + rest[:missing], rest[missing:]


def source_of(record: PostRecord, reader_id: int, followees: Followees) -> Source | None:
    """Why the reader may see the post; None when no more."""
    if record.author_id == reader_id:
        return Source.OWN
    if record.author_id not in followees.all:
        return None
    return Source.PULLED if record.author_id in followees.pull else Source.PUSHED
