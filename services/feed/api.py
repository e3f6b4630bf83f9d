"""Routes of the feed."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from libs.common.runtime.auth import CurrentUser
from libs.common.runtime.pagination import DEFAULT_LIMIT, CursorParam, Limit
from services.feed.domain import Order
from services.feed.schemas import FeedPage
from services.feed.service import FeedReader

router = APIRouter(tags=["feed"])


async def _reader(request: Request) -> FeedReader:
    reader: FeedReader = request.app.state.reader
    return reader


@router.get("/v1/feed", response_model=FeedPage)
async def read_feed(
    user: CurrentUser,
    reader: Annotated[FeedReader, Depends(_reader)],
    order: Annotated[Order, Query()] = Order.RANKED,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorParam = None,
) -> Response:
    """The home feed of the caller. `ranked` pages follow an order that the first page pins."""
    served = await reader.page(user.user_id, order, limit, cursor)
    headers = {"X-Feed-Quality": served.quality, "X-Cache-Status": served.cache, "Cache-Control": "private, no-store"}
    return Response(served.body, media_type="application/json", headers=headers)
