"""What other deployables ask."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from libs.common.core.ids import MAX_ID
from libs.common.web.auth import require_service
from services.user.api.schemas import (
    AccountIds,
    AudiencesRequest,
    AudienceView,
    AudienceViews,
    Authors,
    FolloweesView,
    PostsOfUser,
    Ranges,
    RelationView,
    UserBatchRequest,
)
from services.user.api.use_cases import PublicUrl, UseCases
from services.user.service.reconciliation import CountComparison

MAX_PAGE = 10_000
router = APIRouter(prefix="/internal/users", dependencies=[Depends(require_service)], include_in_schema=False)
UserId = Annotated[int, Path(ge=0, le=MAX_ID)]
IdBound = Annotated[int, Query(ge=0, le=MAX_ID)]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@router.post("/batch", response_model=Authors)
async def batch_users(body: UserBatchRequest, api: UseCases, public_url: PublicUrl) -> Authors:
    """Authors, in the order asked."""
    return Authors.of(await api.profiles.authors(body.user_ids, body.reader_id, posts=body.posts), public_url)


@router.post("/audiences", response_model=AudienceViews)
async def audiences_of(body: AudiencesRequest, api: UseCases) -> AudienceViews:
    """Follower counts and modes, and who follows the small ones."""
    found = await api.audiences.audiences(body.user_ids, body.followers_up_to)
    views = [
        AudienceView(user_id=user_id, follower_count=one.follower_count, mode=one.mode, followers=one.followers)
        for user_id, one in found.items()
    ]
    return AudienceViews(audiences=views)


@router.get("/{user_id}/follower-ranges", response_model=Ranges)
async def follower_ranges(user_id: UserId, size: PageSize, api: UseCases) -> Ranges:
    """How to divide the followers."""
    return Ranges(ranges=await api.audiences.follower_ranges(user_id, size))


@router.get("/{user_id}/follower-ids", response_model=AccountIds)
async def follower_ids(
    user_id: UserId, api: UseCases, after: IdBound = 0, up_to: IdBound = MAX_ID, limit: PageSize = 1000
) -> AccountIds:
    """One page of a range."""
    return AccountIds(ids=await api.audiences.follower_ids(user_id, after, up_to, limit))


@router.get("/{user_id}/followees", response_model=FolloweesView)
async def followees(user_id: UserId, api: UseCases) -> FolloweesView:
    """Whose posts the user's feed is made of, and whose of them are to be pulled."""
    found = await api.audiences.followees(user_id)
    return FolloweesView(followees=found.ids, pull=found.pull, fresh=found.fresh)


@router.get("/{reader_id}/relation/{author_id}", response_model=RelationView)
async def relation(reader_id: UserId, author_id: UserId, api: UseCases) -> RelationView:
    """How a reader stands to an author."""
    return RelationView.of(await api.audiences.relation(reader_id, author_id))


@router.get("/ids", response_model=AccountIds)
async def user_ids(limit: PageSize, api: UseCases, after: IdBound = 0) -> AccountIds:
    """Accounts in order of id."""
    return AccountIds(ids=await api.reconciliation.user_ids(after, limit))


@router.get("/{user_id}/counts")
async def audit_counts(user_id: UserId, api: UseCases) -> CountComparison:
    """Counts from the rows and as counted."""
    return await api.reconciliation.compare(user_id)


@router.post("/{user_id}/counts")
async def mend_counts(user_id: UserId, body: PostsOfUser, api: UseCases) -> CountComparison:
    """Set them right."""
    await api.reconciliation.reconcile(user_id, body.there, body.gone)
    return await api.reconciliation.compare(user_id)


@router.post("/{user_id}/ban", status_code=204, response_model=None)
async def ban(user_id: UserId, api: UseCases) -> None:
    """Hide an account and shut it out."""
    await api.accounts.ban(user_id)


@router.post("/{user_id}/unban", status_code=204, response_model=None)
async def unban(user_id: UserId, api: UseCases) -> None:
    """Let it in again."""
    await api.accounts.unban(user_id)
