"""What operators' tools ask: a reader's feed, as the reader would get it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from libs.common.core.ids import MAX_ID
from libs.common.web.auth import CallingService
from libs.common.web.pagination import DEFAULT_LIMIT, CursorParam, Limit
from services.feed.api import ExplainerDep, ReaderDep
from services.feed.domain.feed import Order
from services.feed.schemas import FeedExplanation

router = APIRouter(prefix="/internal/feed", include_in_schema=False)
UserId = Annotated[int, Path(ge=0, le=MAX_ID)]


@router.get("/readers")
async def recent_readers(_: CallingService, reader: ReaderDep) -> dict[str, list[int]]:
    """Some who read their feed of late."""
    return {"ids": reader.recent_readers()}


@router.get("/{user_id}")
async def read_feed_of(
    user_id: UserId,
    _: CallingService,
    reader: ReaderDep,
    order: Annotated[Order, Query()] = Order.RANKED,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorParam = None,
    fresh: bool = False,
) -> Response:
    """One page; with `fresh` no page that was kept."""
    served = await reader.page(user_id, order, limit, cursor, fresh=fresh)
    return Response(served.body, media_type="application/json")


@router.get("/{user_id}/explain/{post_id}")
async def explain_feed_of(
    user_id: UserId, post_id: UserId, _: CallingService, explainer: ExplainerDep
) -> FeedExplanation:
    """Why a post is, or is not, in the reader's feed."""
    return FeedExplanation.of(await explainer.explain(user_id, post_id))
