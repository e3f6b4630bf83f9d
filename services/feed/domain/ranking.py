"""The ranked order: a score for each post, and limits for each author and for pulled posts on a page."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from libs.common.core.ids import id_time_ms
from libs.contracts.internal.post import RankingFeatures
from services.feed.domain.feed import Source

PAGE_SIZE = 20  # the limits below apply to this number of posts
MAX_OF_AUTHOR = 3  # posts of one author on a page
MIN_PULLED, MAX_PULLED = 2, 3  # pulled posts on a page (docs/figures.md)
HALF_LIFE_MS = 6 * 3_600_000
_LIKE, _COMMENT, _SAVE = 0.5, 0.3, 0.2  # weights (docs/figures.md)
_RECENCY, _ENGAGEMENT = 0.4, 0.6
_FULL_ENGAGEMENT = 10  # the logarithm of about 20,000 likes, comments and saves each


@dataclass(frozen=True, slots=True)
class Score:
    """The parts of a post's score, each between 0 and about 1."""

    recency: float
    engagement: float

    @property
    def total(self) -> float:
        """The score: recency is weighted with 0.4, engagement with 0.6 (docs/figures.md)."""
        return _RECENCY * self.recency + _ENGAGEMENT * self.engagement


def score(features: RankingFeatures, now_ms: int) -> Score:
    """Score a post: recency has a half-life of 6 h, engagement is logarithmic (docs/figures.md)."""
    engagement = (
        _LIKE * math.log1p(features.like_count)
        + _COMMENT * math.log1p(features.comment_count)
        + _SAVE * math.log1p(features.save_count)
    )
    age_ms = max(0, now_ms - id_time_ms(features.post_id))
    return Score(math.exp2(-age_ms / HALF_LIFE_MS), engagement / _FULL_ENGAGEMENT)


def rank(ranking_features: Mapping[RankingFeatures, Source], now_ms: int) -> list[int]:
    """Return the ids by score, equal scores newest first, with limits on each page of 20.

    A page has at most 3 posts of one author, and 2 to 3 pulled posts. When the posts within these limits do not fill
    it, the best of the others do.
    """
    waiting = sorted(
        ranking_features, key=lambda features: (score(features, now_ms).total, features.post_id), reverse=True
    )
    order: list[int] = []
    while waiting:
        page = _compose(waiting, ranking_features)
        order += [features.post_id for features in waiting if features in page]
        waiting = [features for features in waiting if features not in page]
    return order


def _compose(by_score: Sequence[RankingFeatures], sources: Mapping[RankingFeatures, Source]) -> set[RankingFeatures]:
    """Choose the posts of the next page. Each step fills free places, from the best score down."""
    page = _Page(sources)
    pulled = (features for features in by_score if sources[features] is Source.PULLED)
    page.fill(pulled, MIN_PULLED)
    page.fill(by_score, PAGE_SIZE, max_pulled=MAX_PULLED)
    page.fill(by_score, PAGE_SIZE)  # there are too few other posts: take more pulled ones
    page.fill(by_score, PAGE_SIZE, max_of_author=PAGE_SIZE)  # there are too few authors: take any post
    return page.posts


@dataclass(slots=True)
class _Page:
    sources: Mapping[RankingFeatures, Source]
    posts: set[RankingFeatures] = field(default_factory=set)
    authors: Counter[int] = field(default_factory=Counter)
    pulled: int = 0

    def fill(
        self,
        by_score: Iterable[RankingFeatures],
        size: int,
        *,
        max_of_author: int = MAX_OF_AUTHOR,
        max_pulled: int = PAGE_SIZE,
    ) -> None:
        """Add posts within the limits until the page has `size` posts."""
        for features in by_score:
            if len(self.posts) == size:
                return
            is_pulled = self.sources[features] is Source.PULLED
            is_over = self.authors[features.author_id] >= max_of_author or (is_pulled and self.pulled >= max_pulled)
            if not is_over and features not in self.posts:
                self.posts.add(features)
                self.authors[features.author_id] += 1
                self.pulled += is_pulled
