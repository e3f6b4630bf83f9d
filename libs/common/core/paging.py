"""Pages of lists whose rows a reader may not all see."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

DEFAULT_LIMIT = 20
PEOPLE_LIMIT = 50  # followers, likes, comments
MAX_LIMIT = 100
FILL_UP = 100  # rows looked at together when a first look found too many that are hidden
MAX_SCANNED = 300  # rows that one page may look at: some 0.1 s
R = TypeVar("R")
T = TypeVar("T")
Placed = tuple[int, T]
"""An item of a list, and the id by which the list is ordered."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items, and the place after which the next page begins; None when there is none."""

    items: list[T]
    last: int | None


async def visible_page(
    read: Callable[[int, int], Awaitable[Sequence[Placed[R]]]],
    show: Callable[[Sequence[Placed[R]]], Awaitable[Sequence[Placed[T]]]],
    beyond: int,
    limit: int,
) -> Page[T]:
    """Up to `limit` items that can be shown; the others of what is read are passed over.

    It stops after MAX_SCANNED rows. Only then may a page be short, or even empty, though there is a next one; and only
    then may that one turn out to be empty.

    Args:
        read: the list's rows beyond a place, and how many.
        show: those rows that the reader may see, as items.
        beyond: where to begin.
        limit: of the page.
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
