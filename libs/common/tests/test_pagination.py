import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.runtime.pagination import Cursors, InvalidCursorError

CURSORS = Cursors("secret")


@given(st.text(max_size=20), st.lists(st.integers(0, 2**63 - 1) | st.text(max_size=10), max_size=4))
def test_round_trip(listing: str, position: list[int | str]) -> None:
    assert CURSORS.decode(listing, CURSORS.encode(listing, position)) == position


@given(st.text(max_size=60))
def test_what_was_not_made_here_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        CURSORS.decode("followers:1", text)


def test_a_cursor_is_bound_to_its_list_and_secret() -> None:
    cursor = CURSORS.encode("followers:1", [5])
    for cursors, listing in ((CURSORS, "followers:2"), (Cursors("other"), "followers:1")):
        with pytest.raises(InvalidCursorError):
            cursors.decode(listing, cursor)
    assert CURSORS.decode("followers:1", None) is None
