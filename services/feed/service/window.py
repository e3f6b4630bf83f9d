"""Time as the feed sees it: ids are times."""

from collections.abc import Callable

from libs.common.core.ids import first_id_at, now_ms
from services.feed.domain.feed import window_start


class FeedWindow:
    """The last days, in which posts are ranked; older ones are only in chronological order."""

    def __init__(self, days: int, clock_ms: Callable[[], int] = now_ms) -> None:
        self._days = days
        self._clock_ms = clock_ms

    def top(self) -> int:
        """The first id of the present millisecond."""
        return first_id_at(self._clock_ms())

    def start(self, top: int | None = None) -> int:
        """The first id inside the window that ends at `top`, or now."""
        return window_start(self.top() if top is None else top, self._days)
