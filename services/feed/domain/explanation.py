"""Why a post is, or is not, in a feed."""

from collections.abc import Sequence
from enum import StrEnum

from services.feed.domain.feed import Source


class Reason(StrEnum):
    """The rule or the event that decided whether the feed shows the post."""

    OWN = "own"
    PULLED = "pulled"
    PUSHED = "pushed"
    BELOW_CUT = "below_cut"
    """The list holds 500 younger ones; it is shown after them, from the records."""
    REBUILDING = "rebuilding"
    """There is no list: the next read makes one, with the post."""
    SKIPPED = "skipped"
    """Backpressure kept it from being pushed; it is pulled."""
    BEYOND_WINDOW = "beyond_window"
    """Older than the window: only in chronological order."""
    NOT_FOLLOWED = "not_followed"
    MUTED = "muted"
    DELETED = "deleted"
    NOT_TAKEN_IN = "not_taken_in"
    """Fan-out has not seen it yet."""
    BEING_DELIVERED = "being_delivered"
    LOST = "lost"
    """Delivered to all, and not here: a fault. `feedmill rebuild` mends the feed."""


SHOWN = frozenset({Reason.OWN, Reason.PULLED, Reason.PUSHED, Reason.BELOW_CUT, Reason.REBUILDING, Reason.SKIPPED})


def reason_of(
    post_id: int,
    source: Source,
    listed: Sequence[int] | None,
    *,
    is_cut_off: bool,
    in_gap: bool,
    is_delivered: bool | None,
) -> Reason:
    """For a post within the window whose author the feed shows.

    `listed` is the list, newest first, None while there is none; `is_delivered` is None while fan-out knows nothing.
    """
    if source is not Source.PUSHED:
        return Reason(source.value)
    if listed is None:
        return Reason.REBUILDING
    if post_id in listed:
        return Reason.PUSHED
    if is_cut_off and post_id < min(listed, default=0):
        return Reason.BELOW_CUT
    if in_gap:
        return Reason.SKIPPED
    if is_delivered is None:
        return Reason.NOT_TAKEN_IN
    return Reason.LOST if is_delivered else Reason.BEING_DELIVERED
