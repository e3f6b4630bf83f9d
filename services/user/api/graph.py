"""Routes of follows and follow requests."""

from fastapi import APIRouter

from libs.common.web.auth import CurrentUser, ReaderId
from libs.common.web.paging import LongPagingDep, PagingDep
from libs.common.web.params import PathId
from services.user.api.paging import user_list
from services.user.api.schemas import Following, UserList
from services.user.api.use_cases import PublicUrl, UseCases

router = APIRouter(tags=["people"])


@router.post("/v1/users/{user_id}/follow", response_model=Following)
async def follow(user_id: PathId, me: CurrentUser, api: UseCases) -> Following:
    """Follow a user, or send a follow request if the account is private."""
    return Following.of(await api.graph.follow(me.user_id, user_id))


@router.delete("/v1/users/{user_id}/follow", status_code=204, response_model=None)
async def unfollow(user_id: PathId, me: CurrentUser, api: UseCases) -> None:
    """Unfollow a user, or withdraw the follow request."""
    await api.graph.unfollow(me.user_id, user_id)


@router.delete("/v1/followers/{user_id}", status_code=204, response_model=None)
async def remove_follower(user_id: PathId, me: CurrentUser, api: UseCases) -> None:
    """Remove one of the caller's followers."""
    await api.graph.remove_follower(me.user_id, user_id)


@router.get("/v1/users/{user_id}/followers", response_model=UserList)
async def followers(
    user_id: PathId, reader: ReaderId, api: UseCases, paging: LongPagingDep, public_url: PublicUrl
) -> UserList:
    """List the followers of a user."""
    listing = f"followers:{user_id}"
    page = await api.graph.followers(user_id, reader, paging.after(listing), paging.limit)
    return user_list(paging, listing, page, public_url)


@router.get("/v1/users/{user_id}/following", response_model=UserList)
async def following(
    user_id: PathId, reader: ReaderId, api: UseCases, paging: LongPagingDep, public_url: PublicUrl
) -> UserList:
    """List the users that a user follows."""
    listing = f"following:{user_id}"
    page = await api.graph.following(user_id, reader, paging.after(listing), paging.limit)
    return user_list(paging, listing, page, public_url)


@router.get("/v1/users/{user_id}/mutuals", response_model=UserList)
async def mutuals(
    user_id: PathId, me: CurrentUser, api: UseCases, paging: LongPagingDep, public_url: PublicUrl
) -> UserList:
    """List the followers of a user that the caller follows too."""
    listing = f"mutuals:{user_id}:{me.user_id}"
    page = await api.graph.mutuals(user_id, me.user_id, paging.after(listing), paging.limit)
    return user_list(paging, listing, page, public_url)


@router.get("/v1/follow-requests", response_model=UserList)
async def follow_requests(me: CurrentUser, api: UseCases, paging: PagingDep, public_url: PublicUrl) -> UserList:
    """List the follow requests to the caller, newest first."""
    listing = f"follow-requests:{me.user_id}"
    page = await api.graph.requests(me.user_id, paging.after(listing), paging.limit)
    return user_list(paging, listing, page, public_url)


@router.post("/v1/follow-requests/{user_id}/approve", status_code=204, response_model=None)
async def approve_follow_request(user_id: PathId, me: CurrentUser, api: UseCases) -> None:
    """Approve a follow request."""
    await api.graph.approve(me.user_id, user_id)


@router.post("/v1/follow-requests/{user_id}/deny", status_code=204, response_model=None)
async def deny_follow_request(user_id: PathId, me: CurrentUser, api: UseCases) -> None:
    """Deny a follow request. The requester is not notified."""
    await api.graph.deny(me.user_id, user_id)
