"""Feed lists: one Redis LIST of post ids for each reader, written by fan-out and read by the feed service."""

from libs.feedlists.backpressure import PublishedBackpressure
from libs.feedlists.delivery import ChunkProgress, DeliveryProgress, DeliveryStatus, Mode, Range, RemovalProgress
from libs.feedlists.levels import BackpressureLevel
from libs.feedlists.lists import CAP, FeedList, FeedLists, PushResult, RemovalResult
from libs.feedlists.unpushed import UnpushedRange, UnpushedRanges

__all__ = [
    "CAP",
    "BackpressureLevel",
    "ChunkProgress",
    "DeliveryProgress",
    "DeliveryStatus",
    "FeedList",
    "FeedLists",
    "Mode",
    "PublishedBackpressure",
    "PushResult",
    "Range",
    "RemovalProgress",
    "RemovalResult",
    "UnpushedRange",
    "UnpushedRanges",
]
