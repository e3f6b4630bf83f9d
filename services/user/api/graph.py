"""Who follows whom."""

from fastapi import APIRouter

from libs.common.web.auth import CurrentUser, ReaderId
from libs.common.web.params import PathId
from services.user.api.paging import LongPagingDep, PagingDep
from services.user.api.state import GraphDep
from services.user.schemas import Following, UserList

router = APIRouter(tags=["people"])


@router.post("/v1/users/{user_id}/follow", response_model=Following)
async def follow(user_id: PathId, me: CurrentUser, graph: GraphDep) -> Following:
    """Follow, or ask to where the account is private."""
    return Following.of(await graph.follow(me.user_id, user_id))


@router.delete("/v1/users/{user_id}/follow", status_code=204, response_model=None)
async def unfollow(user_id: PathId, me: CurrentUser, graph: GraphDep) -> None:
    """Unfollow, or withdraw the request."""
    await graph.unfollow(me.user_id, user_id)


@router.delete("/v1/followers/{user_id}", status_code=204, response_model=None)
async def remove_follower(user_id: PathId, me: CurrentUser, graph: GraphDep) -> None:
    """Remove one of one's own followers."""
    await graph.remove_follower(me.user_id, user_id)


@router.get("/v1/users/{user_id}/followers", response_model=UserList)
async def followers(user_id: PathId, reader: ReaderId, graph: GraphDep, paging: LongPagingDep) -> UserList:
    """Who follows this person."""
    listing = f"followers:{user_id}"
    page = await graph.followers(user_id, reader, paging.after(listing), paging.limit)
    return paging.answer(listing, page)


@router.get("/v1/users/{user_id}/following", response_model=UserList)
async def following(user_id: PathId, reader: ReaderId, graph: GraphDep, paging: LongPagingDep) -> UserList:
    """Whom this person follows."""
    listing = f"following:{user_id}"
    page = await graph.following(user_id, reader, paging.after(listing), paging.limit)
    return paging.answer(listing, page)


@router.get("/v1/users/{user_id}/mutuals", response_model=UserList)
async def mutuals(user_id: PathId, me: CurrentUser, graph: GraphDep, paging: LongPagingDep) -> UserList:
    """This person's followers whom one follows oneself."""
    listing = f"mutuals:{user_id}:{me.user_id}"
    page = await graph.mutuals(user_id, me.user_id, paging.after(listing), paging.limit)
    return paging.answer(listing, page)


@router.get("/v1/follow-requests", response_model=UserList)
async def follow_requests(me: CurrentUser, graph: GraphDep, paging: PagingDep) -> UserList:
    """Who waits for one's answer, newest first."""
    listing = f"follow-requests:{me.user_id}"
    page = await graph.requests(me.user_id, paging.after(listing), paging.limit)
    return paging.answer(listing, page)


@router.post("/v1/follow-requests/{user_id}/approve", status_code=204, response_model=None)
async def approve_follow_request(user_id: PathId, me: CurrentUser, graph: GraphDep) -> None:
    """Let someone follow who asked to."""
    await graph.approve(me.user_id, user_id)


@router.post("/v1/follow-requests/{user_id}/deny", status_code=204, response_model=None)
async def deny_follow_request(user_id: PathId, me: CurrentUser, graph: GraphDep) -> None:
    """Turn a request down; the requester is not told."""
    await graph.deny(me.user_id, user_id)
