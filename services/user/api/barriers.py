"""Blocks and mutes."""

from fastapi import APIRouter

from libs.common.web.auth import CurrentUser
from libs.common.web.params import PathId
from services.user.api.paging import PagingDep
from services.user.api.state import BarriersDep
from services.user.schemas import UserList

router = APIRouter(tags=["people"])


@router.post("/v1/users/{user_id}/block", status_code=204, response_model=None)
async def block(user_id: PathId, me: CurrentUser, barriers: BarriersDep) -> None:
    """Hide oneself and another from one another; follows and requests both ways end."""
    await barriers.block(me.user_id, user_id)


@router.delete("/v1/users/{user_id}/block", status_code=204, response_model=None)
async def unblock(user_id: PathId, me: CurrentUser, barriers: BarriersDep) -> None:
    """Take a block back; what it ended does not come back."""
    await barriers.unblock(me.user_id, user_id)


@router.post("/v1/users/{user_id}/mute", status_code=204, response_model=None)
async def mute(user_id: PathId, me: CurrentUser, barriers: BarriersDep) -> None:
    """Keep someone's posts out of one's own feed."""
    await barriers.mute(me.user_id, user_id)


@router.delete("/v1/users/{user_id}/mute", status_code=204, response_model=None)
async def unmute(user_id: PathId, me: CurrentUser, barriers: BarriersDep) -> None:
    """Let them in again."""
    await barriers.unmute(me.user_id, user_id)


@router.get("/v1/blocks", response_model=UserList)
async def blocks(me: CurrentUser, barriers: BarriersDep, paging: PagingDep) -> UserList:
    """Whom one blocks, last blocked first."""
    listing = f"blocks:{me.user_id}"
    page = await barriers.blocked(me.user_id, paging.after(listing), paging.limit)
    return paging.answer(listing, page)


@router.get("/v1/mutes", response_model=UserList)
async def mutes(me: CurrentUser, barriers: BarriersDep, paging: PagingDep) -> UserList:
    """Whom one mutes, last muted first."""
    listing = f"mutes:{me.user_id}"
    page = await barriers.muted(me.user_id, paging.after(listing), paging.limit)
    return paging.answer(listing, page)
