"""Internal routes for other deployables."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from libs.common.core.ids import MAX_ID
from libs.common.web.auth import require_service
from libs.contracts.internal.user import (
    FOLLOWERS_A_PAGE,
    AccountAudit,
    AccountIds,
    AccountMendRequest,
    AudienceRecord,
    AudiencesAnswer,
    AudiencesRequest,
    AuthorsAnswer,
    AuthorsRequest,
    FolloweesAnswer,
    FollowerRanges,
    RelationAnswer,
)
from services.user.api.schemas import author_of
from services.user.api.use_cases import PublicUrl, UseCases

router = APIRouter(prefix="/internal/users", dependencies=[Depends(require_service)], include_in_schema=False)
UserId = Annotated[int, Path(ge=0, le=MAX_ID)]
IdBound = Annotated[int, Query(ge=0, le=MAX_ID)]
PageSize = Annotated[int, Query(ge=1, le=FOLLOWERS_A_PAGE)]


@router.post("/batch")
async def batch_users(body: AuthorsRequest, api: UseCases, public_url: PublicUrl) -> AuthorsAnswer:
    """Return profiles in the order of the request. Unknown and banned users are left out."""
    found = await api.profiles.authors(body.user_ids, body.reader_id, posts=body.posts)
    return AuthorsAnswer(users=[author_of(profile, public_url) for profile in found])


@router.post("/audiences")
async def audiences_of(body: AudiencesRequest, api: UseCases) -> AudiencesAnswer:
    """Return follower counts and modes, with the follower ids of authors that have few."""
    found = await api.audiences.audiences(body.user_ids, body.followers_up_to)
    views = [
        AudienceRecord(user_id=user_id, follower_count=one.follower_count, mode=one.mode, followers=one.followers)
        for user_id, one in found.items()
    ]
    return AudiencesAnswer(audiences=views)


@router.get("/{user_id}/follower-ranges")
async def follower_ranges(user_id: UserId, size: PageSize, api: UseCases) -> FollowerRanges:
    """Return ranges of follower ids with about `size` followers each."""
    return FollowerRanges(ranges=await api.audiences.follower_ranges(user_id, size))


@router.get("/{user_id}/follower-ids")
async def follower_ids(
    user_id: UserId, api: UseCases, after: IdBound = 0, up_to: IdBound = MAX_ID, limit: PageSize = 1000
) -> AccountIds:
    """Return the ids of at most `limit` followers with `after` < id <= `up_to`, ascending."""
    return AccountIds(ids=await api.audiences.follower_ids(user_id, after, up_to, limit))


@router.get("/{user_id}/followees")
async def followees(user_id: UserId, api: UseCases) -> FolloweesAnswer:
    """Return the authors of the user's feed, and which of them are pulled."""
    found = await api.audiences.followees(user_id)
    return FolloweesAnswer(followees=found.ids, pull=found.pull, fresh=found.fresh)


@router.get("/{reader_id}/relation/{author_id}")
async def relation(reader_id: UserId, author_id: UserId, api: UseCases) -> RelationAnswer:
    """Return the reader's relation to the author."""
    found = await api.audiences.relation(reader_id, author_id)
    return RelationAnswer(exists=True, **asdict(found)) if found else RelationAnswer(exists=False)


@router.get("/ids")
async def user_ids(limit: PageSize, api: UseCases, after: IdBound = 0) -> AccountIds:
    """Return account ids above `after`, ascending."""
    return AccountIds(ids=await api.reconciliation.user_ids(after, limit))


@router.get("/{user_id}/counts")
async def audit_counts(user_id: UserId, api: UseCases) -> AccountAudit:
    """Return the stored counts of the account, and the same counts from its records."""
    return AccountAudit.model_validate(await api.reconciliation.compare(user_id))


@router.post("/{user_id}/counts")
async def mend_counts(user_id: UserId, body: AccountMendRequest, api: UseCases) -> AccountAudit:
    """Correct the stored counts of the account, and return the result of a new comparison."""
    await api.reconciliation.reconcile(user_id, body.there, body.gone)
    return AccountAudit.model_validate(await api.reconciliation.compare(user_id))


@router.post("/{user_id}/ban", status_code=204, response_model=None)
async def ban(user_id: UserId, api: UseCases) -> None:
    """Ban an account: hide it from others, and refuse its tokens and logins."""
    await api.accounts.ban(user_id)


@router.post("/{user_id}/unban", status_code=204, response_model=None)
async def unban(user_id: UserId, api: UseCases) -> None:
    """End the ban of an account. Its sessions work again."""
    await api.accounts.unban(user_id)
