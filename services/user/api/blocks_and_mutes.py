"""Routes of blocks and mutes."""

from fastapi import APIRouter

from libs.common.web.auth import CurrentUser
from libs.common.web.paging import PagingDep
from libs.common.web.params import PathId
from services.user.api.paging import user_list
from services.user.api.schemas import UserList
from services.user.api.use_cases import PublicUrl, UseCases

router = APIRouter(tags=["people"])


@router.post("/v1/users/{user_id}/block", status_code=204, response_model=None)
async def block(user_id: PathId, me: CurrentUser, api: UseCases) -> None:
    """Block a user. Follows and follow requests in both directions end."""
    await api.blocks_and_mutes.block(me.user_id, user_id)


@router.delete("/v1/users/{user_id}/block", status_code=204, response_model=None)
async def unblock(user_id: PathId, me: CurrentUser, api: UseCases) -> None:
    """Unblock a user. Earlier follows are not restored."""
    await api.blocks_and_mutes.unblock(me.user_id, user_id)


@router.post("/v1/users/{user_id}/mute", status_code=204, response_model=None)
async def mute(user_id: PathId, me: CurrentUser, api: UseCases) -> None:
    """Mute a user: hide their posts from the caller's feed."""
    await api.blocks_and_mutes.mute(me.user_id, user_id)


@router.delete("/v1/users/{user_id}/mute", status_code=204, response_model=None)
async def unmute(user_id: PathId, me: CurrentUser, api: UseCases) -> None:
    """Unmute a user."""
    await api.blocks_and_mutes.unmute(me.user_id, user_id)


@router.get("/v1/blocks", response_model=UserList)
async def blocks(me: CurrentUser, api: UseCases, paging: PagingDep, public_url: PublicUrl) -> UserList:
    """List the users that the caller blocks, last blocked first."""
    listing = f"blocks:{me.user_id}"
    page = await api.blocks_and_mutes.blocked(me.user_id, paging.after(listing), paging.limit)
    return user_list(paging, listing, page, public_url)


@router.get("/v1/mutes", response_model=UserList)
async def mutes(me: CurrentUser, api: UseCases, paging: PagingDep, public_url: PublicUrl) -> UserList:
    """List the users that the caller mutes, last muted first."""
    listing = f"mutes:{me.user_id}"
    page = await api.blocks_and_mutes.muted(me.user_id, paging.after(listing), paging.limit)
    return user_list(paging, listing, page, public_url)
