"""The feed list: one Redis LIST of post ids a reader, written by fan-out, read by the feed service."""

from libs.feedlists.acts import ACT_S, LAST_KNOWN_S, Acts
from libs.feedlists.gaps import Gap, Gaps
from libs.feedlists.last_shown import LastShown, Still
from libs.feedlists.ledger import DeliveryState, Ledger, Mode, Progress, Range, RemovalLedger
from libs.feedlists.level import PublishedLevel
from libs.feedlists.lists import CAP, FeedList, FeedLists, Pushed, Withdrawn

__all__ = [
    "ACT_S",
    "CAP",
    "LAST_KNOWN_S",
    "Acts",
    "DeliveryState",
    "FeedList",
    "FeedLists",
    "Gap",
    "Gaps",
    "LastShown",
    "Ledger",
    "Mode",
    "Progress",
    "PublishedLevel",
    "Pushed",
    "Range",
    "RemovalLedger",
    "Still",
    "Withdrawn",
]
