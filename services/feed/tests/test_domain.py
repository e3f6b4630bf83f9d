from collections import Counter
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from libs.common.contracts.base import utc_now
from libs.common.ids import first_id_at, now_ms
from services.feed.domain import MAX_OF_AUTHOR, PAGE_SIZE, quick_score, rank
from services.feed.tests.world import record


def test_recency_halves_in_six_hours() -> None:
    post = record(first_id_at(now_ms()), 1)
    now = post.created_at
    assert quick_score(post, now) == 0.4
    assert quick_score(post, now + timedelta(hours=6)) == 0.2


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 50)), max_size=120))
def test_ranking_loses_nothing_and_keeps_authors_apart(posts: list[tuple[int, int]]) -> None:
    base = first_id_at(now_ms())
    records = [record(base - i * 1_000_000, author, likes) for i, (author, likes) in enumerate(posts)]
    order = rank(records, utc_now())
    assert sorted(order) == sorted(item.post_id for item in records)
    authors = {item.post_id: item.author_id for item in records}
    page = Counter(authors[post_id] for post_id in order[:PAGE_SIZE])
    enough_authors = len(set(authors.values())) * MAX_OF_AUTHOR
    reachable = sum(min(n, MAX_OF_AUTHOR) for n in Counter(authors.values()).values())
    if reachable >= PAGE_SIZE <= enough_authors:
        assert max(page.values()) <= MAX_OF_AUTHOR
