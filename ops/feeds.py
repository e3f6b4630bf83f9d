"""Reads feeds as their readers get them, through the internal routes of the feed service."""

from typing import Any, Self

from libs.common.core.errors import NotFoundError
from libs.common.core.settings import Settings
from ops.services import service_client

PAGE = 100  # from the second page on; the first has the default size, so that it may be the cached page of the reader


class FeedService:
    """Implements `ops.oracle.Feeds`."""

    def __init__(self, settings: Settings) -> None:
        self._feed = service_client("feed", settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._feed.close()

    async def readers(self) -> list[int]:
        ids: list[int] = (await self._feed.get("/internal/feed/readers"))["ids"]
        return ids

    async def page(self, reader_id: int, order: str, cursor: str | None, *, fresh: bool) -> dict[str, Any]:
        more = {"cursor": cursor, "limit": PAGE} if cursor else {}
        params = {"order": order, "fresh": int(fresh), **more}
        page: dict[str, Any] = await self._feed.get(f"/internal/feed/{reader_id}", params)
        return page

    async def explain(self, reader_id: int, post_id: int) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = await self._feed.get(f"/internal/feed/{reader_id}/explain/{post_id}")
        except NotFoundError:
            return {}
        return answer
