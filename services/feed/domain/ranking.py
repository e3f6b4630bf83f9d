"""The ranked order: scores, and pages that no author and no source fills alone."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from libs.common.core.ids import id_time_ms
from libs.contracts.internal.post import RankingFeatures
from services.feed.domain.feed import Source

PAGE_SIZE = 20  # pages that the composition is measured on
MAX_OF_AUTHOR = 3  # posts of one author on such a page
MIN_PULLED, MAX_PULLED = 2, 3  # of authors whose posts are not pushed (docs/figures.md)
HALF_LIFE_MS = 6 * 3_600_000
_LIKE, _COMMENT, _SAVE = 0.5, 0.3, 0.2  # weights (docs/figures.md)
_RECENCY, _ENGAGEMENT = 0.4, 0.6
_FULL_ENGAGEMENT = 10  # the logarithm of some 20,000 of each


@dataclass(frozen=True, slots=True)
class Score:
    """What a post's place comes from; each between 0 and about 1."""

    recency: float
    engagement: float

    @property
    def total(self) -> float:
        """Recency · 0.4 + engagement · 0.6 (docs/figures.md)."""
        return _RECENCY * self.recency + _ENGAGEMENT * self.engagement


def score(features: RankingFeatures, now_ms: int) -> Score:
    """Recency with a half-life of 6 h, and log engagement (docs/figures.md)."""
    engagement = (
        _LIKE * math.log1p(features.like_count)
        + _COMMENT * math.log1p(features.comment_count)
        + _SAVE * math.log1p(features.save_count)
    )
    age_ms = max(0, now_ms - id_time_ms(features.post_id))
    return Score(math.exp2(-age_ms / HALF_LIFE_MS), engagement / _FULL_ENGAGEMENT)


def rank(ranking_features: Mapping[RankingFeatures, Source], now_ms: int) -> list[int]:
    """Ids by score, equal ones newest first; composed page by page.

    Of 20 posts at most 3 are of one author, and 2 to 3 of pulled ones, while there are others; what the others
    can't fill, anyone may.
    """
    waiting = sorted(
        ranking_features, key=lambda features: (score(features, now_ms).total, features.post_id), reverse=True
    )
    order: list[int] = []
    while waiting:
        page = _compose(waiting, ranking_features)
        chosen = set(page)
        order += [features.post_id for features in waiting if features in chosen]
        waiting = [features for features in waiting if features not in chosen]
    return order


@dataclass(slots=True)
class _Page:
    taken: list[RankingFeatures] = field(default_factory=list)
    authors: Counter[int] = field(default_factory=Counter)
    pulled: int = 0

    def add(self, features: RankingFeatures, source: Source) -> None:
        self.taken.append(features)
        self.authors[features.author_id] += 1
        self.pulled += source is Source.PULLED

    def has_room_for(self, features: RankingFeatures) -> bool:
        return len(self.taken) < PAGE_SIZE and self.authors[features.author_id] < MAX_OF_AUTHOR


def _compose(waiting: Sequence[RankingFeatures], sources: Mapping[RankingFeatures, Source]) -> list[RankingFeatures]:
    """One page, from the best on: the share of the pulled first, then the others, then whoever is left."""
    page = _Page()
    for features in waiting:
        if sources[features] is Source.PULLED and page.pulled < MIN_PULLED and page.has_room_for(features):
            page.add(features, Source.PULLED)
    for allowed in (MAX_PULLED, PAGE_SIZE):
        for features in waiting:
            if len(page.taken) == PAGE_SIZE:
                return page.taken
            is_over = sources[features] is Source.PULLED and page.pulled >= allowed
            if features not in page.taken and not is_over and page.has_room_for(features):
                page.add(features, sources[features])
    rest = [features for features in waiting if features not in page.taken]
    return page.taken + rest[: PAGE_SIZE - len(page.taken)]
