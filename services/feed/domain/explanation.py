"""Reasons why a post is, or is not, in a feed."""

from collections.abc import Sequence
from enum import StrEnum

from services.feed.domain.feed import Source


class Reason(StrEnum):
    """The rule or event that decides whether the feed shows the post. The values are part of the API."""

    OWN = "own"
    PULLED = "pulled"
    PUSHED = "pushed"
    BELOW_CUT = "below_cut"
    """The list holds 500 newer posts. This one is read from the records and shown after them."""
    REBUILDING = "rebuilding"
    """There is no complete list. The next read builds it, with this post."""
    SKIPPED = "skipped"
    """It was not pushed because of back pressure, so reads pull it."""
    BEYOND_WINDOW = "beyond_window"
    """It is older than the window, so only the chronological feed shows it."""
    NOT_FOLLOWED = "not_followed"
    MUTED = "muted"
    DELETED = "deleted"
    NOT_TAKEN_IN = "not_taken_in"
    """Fan-out has not processed the event of the post yet."""
    BEING_DELIVERED = "being_delivered"
    """Fan-out has not finished the delivery."""
    LOST = "lost"
    """The delivery has finished, but the list lacks the post. This is a fault, which `feedmill rebuild` repairs."""


SHOWN = frozenset({Reason.OWN, Reason.PULLED, Reason.PUSHED, Reason.BELOW_CUT, Reason.REBUILDING, Reason.SKIPPED})


def reason_of(
    post_id: int,
    source: Source,
    listed: Sequence[int] | None,
    *,
    is_cut_off: bool,
    is_unpushed: bool,
    is_delivered: bool | None,
) -> Reason:
    """Return the reason for a post inside the window, by an author that the reader follows.

    Args:
        post_id: the post.
        source: how posts of its author enter the feed.
        listed: the ids in the feed list, newest first; None if there is no complete list.
        is_cut_off: true if older ids were trimmed from the list.
        is_unpushed: true if the post is in an unpushed range that is not merged into the list.
        is_delivered: true if fan-out has finished; None if it has no record of the post.
    """
    if source is not Source.PUSHED:
        return Reason(source.value)
    if listed is None:
        return Reason.REBUILDING
    if post_id in listed:
        return Reason.PUSHED
    if is_cut_off and post_id < min(listed, default=0):
        return Reason.BELOW_CUT
    if is_unpushed:
        return Reason.SKIPPED
    if is_delivered is None:
        return Reason.NOT_TAKEN_IN
    return Reason.LOST if is_delivered else Reason.BEING_DELIVERED
