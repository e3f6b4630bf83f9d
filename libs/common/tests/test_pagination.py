import random
from collections.abc import Callable, Sequence
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from libs.common.core.paging import FILL_UP, MAX_SCANNED, Page, Placed, visible_page
from libs.common.web.paging import Cursors, InvalidCursorError
from libs.common.web.params import Digits

CURSORS = Cursors("secret")


@pytest.mark.parametrize("text", [" 5", "1_0", "20.0", "\N{ARABIC-INDIC DIGIT FIVE}", "+5", "5e0", "9" * 20])
def test_a_number_in_a_query_is_digits(text: str) -> None:
    number = TypeAdapter(Annotated[int, Digits])
    assert number.validate_python("20") == 20
    with pytest.raises(ValidationError, match="whole number"):
        number.validate_python(text)


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


class Rows:
    """A list of ids, newest first, of which some can be shown; counts what it reads."""

    def __init__(self, count: int, shown: Callable[[int], bool]) -> None:
        self.ids = range(count, 0, -1)
        self.shown = shown
        self.read_rows = 0

    async def read(self, before: int, count: int) -> list[Placed[str]]:
        rows = [(i, f"row {i}") for i in self.ids if i < before][:count]
        self.read_rows += len(rows)
        return rows

    async def show(self, rows: Sequence[Placed[str]]) -> list[Placed[str]]:
        return [row for row in rows if self.shown(row[0])]

    async def page(self, before: int, limit: int) -> Page[str]:
        return await visible_page(self.read, self.show, before, limit)


@given(st.integers(0, 60), st.integers(1, 20), st.integers(0, 2**32))
async def test_pages_are_full_and_say_truly_whether_there_are_more(count: int, limit: int, seed: int) -> None:
    hidden = set(random.Random(seed).choices(range(1, 61), k=30))
    rows = Rows(count, lambda i: i not in hidden)
    expected = [f"row {i}" for i in rows.ids if i not in hidden]
    found, last = list[str](), 1_000
    while True:
        page = await rows.page(last, limit)
        found += page.items
        assert len(page.items) == limit or page.last is None
        assert (page.last is not None) == (len(found) < len(expected))
        if page.last is None:
            break
        last = page.last
    assert found == expected


async def test_a_page_looks_at_so_many_rows_and_the_next_one_goes_on() -> None:
    rows = Rows(1_000, lambda i: i <= 500)
    pages, last = [await rows.page(9_999, 5)], 0
    assert pages[0].items == []
    assert MAX_SCANNED <= rows.read_rows <= MAX_SCANNED + FILL_UP
    while not pages[-1].items:
        assert pages[-1].last is not None
        last = pages[-1].last
        pages.append(await rows.page(last, 5))
    assert pages[-1].items[0] == "row 500"


async def test_a_list_that_ends_where_the_scan_stops_has_no_next_page() -> None:
    first = 2  # limit + 1
    rows = Rows(first + MAX_SCANNED // FILL_UP * FILL_UP, lambda _: False)
    assert await rows.page(9_999, 1) == Page([], None)
