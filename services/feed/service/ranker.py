"""The ranked order of today: recency and engagement, composed page by page."""

from collections.abc import Mapping

from libs.contracts.internal.post import RankingFeatures
from services.feed.domain.feed import Source
from services.feed.domain.ranking import Score, rank, score


class ScoreRanker:
    """Implements `ports.Ranker` by the formula in `domain/ranking.py`."""

    async def rank(self, features: Mapping[RankingFeatures, Source], now_ms: int) -> list[int]:
        return rank(features, now_ms)

    def score(self, features: RankingFeatures, now_ms: int) -> Score:
        return score(features, now_ms)
