"""The feed service."""

from libs.common.core.errors import NotFoundError
from libs.common.web.client import ServiceClient
from libs.contracts.internal.feed import FeedPageView, FeedReason, RecentReaders

FEED = "/internal/feed"
LATER_PAGE = 100
"""Posts in every page but the first. The first has the default size, so it may be the cached one."""


class FeedClient:
    """Feeds as their readers get them."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def readers(self) -> list[int]:
        """Return the ids of some users who read their feeds recently."""
        return RecentReaders.model_validate(await self._client.get(f"{FEED}/readers")).ids

    async def page(self, reader_id: int, order: str, cursor: str | None, *, fresh: bool) -> FeedPageView:
        """One page; with `fresh` no cached one."""
        more = {"cursor": cursor, "limit": LATER_PAGE} if cursor else {}
        params = {"order": order, "fresh": int(fresh), **more}
        return FeedPageView.model_validate(await self._client.get(f"{FEED}/{reader_id}", params))

    async def explain(self, reader_id: int, post_id: int) -> FeedReason | None:
        """Why the post is, or is not, in the feed; None when there is no such post, or the reader may not see it."""
        try:
            return FeedReason.model_validate(await self._client.get(f"{FEED}/{reader_id}/explain/{post_id}"))
        except NotFoundError:
            return None
