"""What operators' tools ask: a reader's feed, as the reader would get it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from libs.common.core.ids import MAX_ID
from libs.common.core.paging import DEFAULT_LIMIT
from libs.common.web.auth import CallingService
from libs.common.web.paging import CursorParam, Limit
from libs.contracts.internal.feed import RecentReaders
from services.feed.api.schemas import FeedExplanation
from services.feed.api.use_cases import UseCases
from services.feed.domain.feed import Order

router = APIRouter(prefix="/internal/feed", include_in_schema=False)
UserId = Annotated[int, Path(ge=0, le=MAX_ID)]


@router.get("/readers")
async def recent_readers(_: CallingService, api: UseCases) -> RecentReaders:
    """Return users who read their feed recently."""
    return RecentReaders(ids=api.returning.readers())


@router.get("/{user_id}")
async def read_feed_of(
    user_id: UserId,
    _: CallingService,
    api: UseCases,
    order: Annotated[Order, Query()] = Order.RANKED,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorParam = None,
    fresh: bool = False,
) -> Response:
    """Return one page. With `fresh`, cached pages are ignored."""
    served = await api.reader.page(user_id, order, limit, cursor, fresh=fresh)
    return Response(served.body, media_type="application/json")


@router.get("/{user_id}/explain/{post_id}")
async def explain_feed_of(user_id: UserId, post_id: UserId, _: CallingService, api: UseCases) -> FeedExplanation:
    """Why a post is, or is not, in the reader's feed."""
    return FeedExplanation.of(await api.explainer.explain(user_id, post_id))
