"""The window of the feed. Ids contain times, so its bounds are ids."""

from collections.abc import Callable

from libs.common.core.ids import first_id_at, now_ms
from services.feed.domain.feed import window_start


class FeedWindow:
    """The last days. Older posts are not ranked, and only the chronological feed shows them."""

    def __init__(self, days: int, clock_ms: Callable[[], int] = now_ms) -> None:
        self._days = days
        self._clock_ms = clock_ms

    def top(self) -> int:
        """Return the first id of the present millisecond."""
        return first_id_at(self._clock_ms())

    def start(self, top: int | None = None) -> int:
        """Return the first id inside the window that ends at the id `top`, or now."""
        return window_start(self.top() if top is None else top, self._days)
