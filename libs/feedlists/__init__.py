"""The feed list: one Redis LIST of post ids a reader, written by fan-out, read by the feed service."""

from libs.feedlists.acts import Acts
from libs.feedlists.lists import CAP, FeedList, FeedLists

__all__ = ["CAP", "Acts", "FeedList", "FeedLists"]
