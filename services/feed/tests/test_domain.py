from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from libs.common.core.ids import MAX_ID, first_id_at, now_ms
from libs.contracts.internal.post import RankingFeatures
from services.feed.domain.cursor import (
    ChronologicalCursor,
    RankedCursor,
    new_session,
    pack,
    parse_cursor,
    session_top,
    unpack,
)
from services.feed.domain.feed import Source
from services.feed.domain.ranking import HALF_LIFE_MS, MAX_OF_AUTHOR, MAX_PULLED, MIN_PULLED, PAGE_SIZE, rank, score

NOW_MS = now_ms()
PULLED_AUTHORS = range(100, 104)
posts = st.lists(st.tuples(st.one_of(st.integers(1, 12), st.sampled_from(PULLED_AUTHORS)), st.integers(0, 50)))


def test_recency_halves_in_six_hours() -> None:
    post = RankingFeatures(first_id_at(NOW_MS), 1, 0, 0, 0)
    assert score(post, NOW_MS).total == 0.4
    assert score(post, NOW_MS + HALF_LIFE_MS).total == 0.2


@given(posts)
def test_ranking_loses_nothing_and_composes_its_pages(given_posts: list[tuple[int, int]]) -> None:
    base = first_id_at(NOW_MS)
    ranking_features = {
        RankingFeatures(base - i * 1_000_000, author, likes, 0, 0): Source.PULLED
        if author in PULLED_AUTHORS
        else Source.PUSHED
        for i, (author, likes) in enumerate(given_posts)
    }
    order = rank(ranking_features, NOW_MS)
    assert sorted(order) == sorted(features.post_id for features in ranking_features)
    by_id = {features.post_id: features for features in ranking_features}
    page = [by_id[post_id] for post_id in order[:PAGE_SIZE]]
    supply = Counter[Source]()
    for author, n in Counter(features.author_id for features in ranking_features).items():
        supply[Source.PULLED if author in PULLED_AUTHORS else Source.PUSHED] += min(n, MAX_OF_AUTHOR)
    pulled = sum(ranking_features[features] is Source.PULLED for features in page)
    if supply.total() >= PAGE_SIZE:
        assert max(Counter(features.author_id for features in page).values()) <= MAX_OF_AUTHOR
        assert pulled >= min(MIN_PULLED, supply[Source.PULLED])
    if supply[Source.PUSHED] >= PAGE_SIZE - min(MIN_PULLED, supply[Source.PULLED]):
        assert pulled <= MAX_PULLED


@given(st.sets(st.integers(0, MAX_ID), max_size=50))
def test_ids_are_packed_without_loss(post_ids: set[int]) -> None:
    assert unpack(pack(post_ids)) == sorted(post_ids)


def test_six_hundred_ids_of_a_week_fit_into_a_cursor() -> None:
    week = [first_id_at(NOW_MS - i * 1_000_000) + 4_000_000 - i for i in range(600)]
    assert len(pack(week)) < 5_000


@given(st.sets(st.integers(0, MAX_ID), max_size=5), st.integers(-1, 600), st.integers(0, MAX_ID))
def test_bookmarks_come_back_from_their_fields(shown: set[int], position: int, floor: int) -> None:
    session_id = new_session(floor)
    assert session_top(session_id) == floor
    for place in (ChronologicalCursor(session_id, floor), RankedCursor(session_id, position, floor, frozenset(shown))):
        assert parse_cursor(place.fields()) == place


def test_what_is_no_session_has_no_top() -> None:
    for text in ("", "x", "1", "1.", ".5", "\u0661.5", "99999999999999999999.5"):
        assert session_top(text) is None
