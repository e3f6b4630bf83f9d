"""How calls are grouped, without a store."""

from hypothesis import given
from hypothesis import strategies as st

from libs.feedlists.lists import _pipelines


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 12))
def test_pipelines_are_full_but_the_last_and_have_every_item_in_the_order_of_its_bucket(
    sizes: list[int], size: int
) -> None:
    by_bucket = {bucket: [(bucket, n) for n in range(count)] for bucket, count in enumerate(sizes)}
    groups = list(_pipelines(by_bucket, size))
    counts = [sum(len(items) for _, items in group) for group in groups]
    assert counts[:-1] == [size] * len(counts[:-1])
    assert all(0 < count <= size for count in counts)
    calls = [call for group in groups for call in group]
    assert [item for _, items in calls for item in items] == [item for items in by_bucket.values() for item in items]
    assert all(items and {bucket for bucket, _ in items} == {named} for named, items in calls)
