"""The first pages that readers return to."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from cachetools import LRUCache

from services.feed.domain.feed import Order

READERS_MAX = 10_000  # for the samples of the oracle, and for warming
ACTIVE_S = 300  # a reader is active for this time after a read (docs/figures.md)
READS_MIN = 2  # a reader who came once may not come again


class FirstPage(NamedTuple):
    """Names a first page of a reader."""

    user_id: int
    order: Order
    limit: int


@dataclass(slots=True)
class _Use:
    """How often a page was read while its reader was active, the last time, and when the cached copy was made."""

    reads: int
    read_s: float
    made_s: float


class ActivePages:
    """Notes which first pages this process served last, and which of them should be assembled before they expire."""

    def __init__(self, page_s: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.renew_s = page_s * 5 / 6
        """The age of a cached page from which it should be renewed."""
        self._clock = clock
        self._pages: LRUCache[FirstPage, _Use] = LRUCache(READERS_MAX)

    def read(self, page: FirstPage, age_s: int) -> None:
        """Note that the page was sent to its reader, and the age of the cached copy in seconds."""
        now_s = self._clock()
        before = self._pages.get(page)
        reads = before.reads if before and now_s - before.read_s < ACTIVE_S else 0
        self._pages[page] = _Use(reads + 1, now_s, now_s - age_s)

    def renewed(self, page: FirstPage, age_s: int) -> None:
        """Note the age of the cached copy. The page still counts as read at the same time."""
        if use := self._pages.get(page):
            use.made_s = self._clock() - age_s

    def readers(self) -> list[int]:
        """Return the readers, each once."""
        return list({page.user_id for page in self._pages})

    def due(self) -> list[FirstPage]:
        """Return the pages of active readers whose cached copies should be renewed."""
        now_s = self._clock()
        return [
            page
            for page, use in self._pages.items()
            if use.reads >= READS_MIN and now_s - use.read_s < ACTIVE_S and now_s - use.made_s >= self.renew_s
        ]
