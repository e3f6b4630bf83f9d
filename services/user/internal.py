"""What other deployables ask."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from libs.common.ids import MAX_ID
from libs.common.runtime.auth import require_service
from services.user.api.state import GraphDep, ProfilesDep, PublicUrl
from services.user.schemas import (
    AudienceView,
    Authors,
    FolloweesView,
    FollowerIds,
    Ranges,
    UserBatchRequest,
)

MAX_PAGE = 10_000
router = APIRouter(prefix="/internal/users", dependencies=[Depends(require_service)], include_in_schema=False)
UserId = Annotated[int, Path(ge=0, le=MAX_ID)]
IdBound = Annotated[int, Query(ge=0, le=MAX_ID)]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@router.post("/batch", response_model=Authors)
async def batch_users(body: UserBatchRequest, profiles: ProfilesDep, public_url: PublicUrl) -> Authors:
    """Authors, in the order asked."""
    return Authors.of(await profiles.many(body.user_ids, None), public_url)


@router.get("/{user_id}/audience", response_model=AudienceView)
async def audience(user_id: UserId, graph: GraphDep) -> AudienceView:
    """Follower count and mode."""
    found = await graph.audience(user_id)
    return AudienceView(follower_count=found.follower_count, mode=found.mode)


@router.get("/{user_id}/follower-ranges", response_model=Ranges)
async def follower_ranges(user_id: UserId, size: PageSize, graph: GraphDep) -> Ranges:
    """How to divide the followers."""
    return Ranges(ranges=await graph.follower_ranges(user_id, size))


@router.get("/{user_id}/follower-ids", response_model=FollowerIds)
async def follower_ids(
    user_id: UserId, graph: GraphDep, after: IdBound = 0, up_to: IdBound = MAX_ID, limit: PageSize = 1000
) -> FollowerIds:
    """One page of a range."""
    return FollowerIds(ids=await graph.follower_ids(user_id, after, up_to, limit))


@router.get("/{user_id}/followees", response_model=FolloweesView)
async def followees(user_id: UserId, graph: GraphDep) -> FolloweesView:
    """Whom the user follows, and of whom a reader must pull."""
    found = await graph.followees(user_id)
    return FolloweesView(followees=found.ids, pull=found.pull)
