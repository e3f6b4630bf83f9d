"""Feed lists: one Redis LIST of post ids for each reader, written by fan-out and read by the feed service."""

from libs.feedlists.backpressure import PublishedLevel
from libs.feedlists.delivery import DeliveryState, Ledger, Mode, Progress, Range, RemovalLedger
from libs.feedlists.gaps import Gap, Gaps
from libs.feedlists.lists import CAP, FeedList, FeedLists, Pushed, Withdrawn

__all__ = [
    "CAP",
    "DeliveryState",
    "FeedList",
    "FeedLists",
    "Gap",
    "Gaps",
    "Ledger",
    "Mode",
    "Progress",
    "PublishedLevel",
    "Pushed",
    "Range",
    "RemovalLedger",
    "Withdrawn",
]
