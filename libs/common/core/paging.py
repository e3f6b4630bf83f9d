"""Pages of lists of which some rows are hidden from the reader."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

DEFAULT_LIMIT = 20
PEOPLE_LIMIT = 50  # followers, likes, comments
MAX_LIMIT = 100
FILL_UP = 100  # rows read at a time when too many of the first ones are hidden
MAX_SCANNED = 300  # rows read for one page: about 0.1 s
R = TypeVar("R")
T = TypeVar("T")
Placed = tuple[int, T]
"""The id by which the list is ordered, and the item."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items, and the position after which the next page begins; None at the end of the list."""

    items: list[T]
    last: int | None


async def visible_page(
    read: Callable[[int, int], Awaitable[Sequence[Placed[R]]]],
    show: Callable[[Sequence[Placed[R]]], Awaitable[Sequence[Placed[T]]]],
    beyond: int,
    limit: int,
) -> Page[T]:
    """Up to `limit` items that the reader may see; hidden rows are skipped.

    Reading stops after MAX_SCANNED rows. Only in this case the page may be short or empty although there is a next
    page, and the next page may be empty.

    Args:
        read: reads rows after a position, up to a number.
        show: selects the rows that the reader may see, and turns them into items.
        beyond: the position after which the page begins.
        limit: the size of the page.
    """
    found: list[Placed[T]] = []
    count, scanned = limit + 1, 0
    while True:
        rows = await read(beyond, count)
        found += await show(rows)
        if len(found) > limit:
            return Page([item for _, item in found[:limit]], found[limit - 1][0])
        if len(rows) < count:
            return Page([item for _, item in found], None)
        beyond, scanned, count = rows[-1][0], scanned + count, max(limit + 1, FILL_UP)
        if scanned >= MAX_SCANNED:
            more = await read(beyond, 1)
            return Page([item for _, item in found], beyond if more else None)
