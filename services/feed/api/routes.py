"""Routes of the feed."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from libs.common.core.paging import DEFAULT_LIMIT
from libs.common.web.auth import CurrentUser
from libs.common.web.devices import DEVICE_HEADERS
from libs.common.web.paging import CursorParam, Limit
from libs.common.web.params import PathId
from services.feed.api.cached_pages import LOOKUP
from services.feed.api.schemas import FeedExplanation, FeedPosition, FeedUpdates, SessionId
from services.feed.api.use_cases import UseCases
from services.feed.domain.feed import Order
from services.feed.ports import Position
from services.feed.service.page import FeedPage

router = APIRouter(tags=["feed"])


@router.get("/v1/feed", response_model=FeedPage, dependencies=DEVICE_HEADERS)
async def read_feed(
    request: Request,
    user: CurrentUser,
    api: UseCases,
    order: Annotated[Order, Query()] = Order.RANKED,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorParam = None,
) -> Response:
    """Get the caller's home feed. All pages of a `ranked` feed follow the order of the first page."""
    api.active.note(user.user_id)
    served = await api.reader.page(user.user_id, order, limit, cursor, lookup=request.scope.get(LOOKUP))
    headers = {"X-Feed-Quality": served.quality, "X-Cache-Status": served.cache, "Cache-Control": "private, no-store"}
    return Response(served.body, media_type="application/json", headers=headers)


@router.get("/v1/feed/updates", response_model=FeedUpdates)
async def feed_updates(user: CurrentUser, api: UseCases, feed_session_id: Annotated[SessionId, Query()]) -> FeedUpdates:
    """Count the posts that are new since the feed session began. Clients may poll it."""
    updates = await api.reader.updates(user.user_id, feed_session_id)
    return FeedUpdates(new_post_count=updates.count, newest_post_id=updates.newest_id)


@router.put("/v1/feed/position", response_model=FeedPosition)
async def put_feed_position(body: FeedPosition, user: CurrentUser, api: UseCases) -> FeedPosition:
    """Save the caller's position in the feed for their other devices. The last write wins."""
    await api.reader.save_position(user.user_id, Position(body.feed_session_id, body.post_id))
    return body


@router.get("/v1/feed/position", response_model=FeedPosition)
async def get_feed_position(user: CurrentUser, api: UseCases) -> FeedPosition:
    """Get the caller's last position in the feed on any device. It is stored for seven days."""
    position = await api.reader.position(user.user_id)
    return FeedPosition(feed_session_id=position.session_id, post_id=position.post_id)


@router.get("/v1/feed/explain/{post_id}", response_model=FeedExplanation)
async def explain_feed(post_id: PathId, user: CurrentUser, api: UseCases) -> FeedExplanation:
    """Explain why a post is, or is not, in the caller's feed."""
    return FeedExplanation.of(await api.explainer.explain(user.user_id, post_id))
