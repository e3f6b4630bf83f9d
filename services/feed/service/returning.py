"""The first pages of readers who return."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from services.feed.domain.feed import Order

READERS_MAX = 10_000  # for the samples of the oracle, and for warming
RETURNS_S = 120  # a reader counts as returning for this time after a read (docs/figures.md)
READS_MIN = 2  # a reader who came once may not come again


class FirstPage(NamedTuple):
    """Names a first page of a reader."""

    user_id: int
    order: Order
    limit: int


@dataclass(slots=True)
class _Use:
    """The page that a reader asked for last, how often while returning, when, and when the cached copy was made."""

    page: FirstPage
    reads: int
    read_s: float
    made_s: float


class ReturningReaders:
    """Remembers the first page that each reader asked this process for last, and which copies must be renewed."""

    def __init__(self, page_s: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.renew_s = page_s * 5 / 6
        """The age of a cached page from which it should be renewed."""
        self._clock = clock
        self._uses: dict[int, _Use] = {}
        """By reader, in the order of their last read."""

    def read(self, page: FirstPage, age_s: int) -> None:
        """Note that the reader asked for the page. `age_s` is the age of the cached copy, or 0 without one."""
        now_s, before = self._clock(), self._uses.pop(page.user_id, None)
        reads = before.reads if before and before.page == page and now_s - before.read_s < RETURNS_S else 0
        self._uses[page.user_id] = _Use(page, reads + 1, now_s, now_s - age_s)
        if len(self._uses) > READERS_MAX:
            del self._uses[next(iter(self._uses))]

    def renewed(self, page: FirstPage, age_s: int) -> None:
        """Note the age of the cached copy. This is not a read."""
        if (use := self._uses.get(page.user_id)) and use.page == page:
            use.made_s = self._clock() - age_s

    def readers(self) -> list[int]:
        return list(self._uses)

    def due(self) -> list[FirstPage]:
        """Return the pages of returning readers whose cached copies must be renewed."""
        now_s = self._clock()
        return [
            use.page
            for use in self._uses.values()
            if use.reads >= READS_MIN and now_s - use.read_s < RETURNS_S and now_s - use.made_s >= self.renew_s
        ]
