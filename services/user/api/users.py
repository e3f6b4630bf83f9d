"""Routes of profiles."""

from typing import Annotated

from fastapi import APIRouter, Query

from libs.common.web.auth import CurrentUser, ReaderId
from libs.common.web.paging import PagingDep
from libs.common.web.params import PathId
from services.user.api.paging import user_list
from services.user.api.schemas import ProfileRequest, User, UserList
from services.user.api.use_cases import PublicUrl, UseCases

router = APIRouter(tags=["people"])


@router.get("/v1/users", response_model=UserList)
async def search_users(
    q: Annotated[str, Query(min_length=1, max_length=31, description="the beginning of a username, with or without @")],
    reader: ReaderId,
    api: UseCases,
    paging: PagingDep,
    public_url: PublicUrl,
) -> UserList:
    """Search users by the beginning of their username."""
    listing = f"search:{q}"
    position = paging.cursors.decode(listing, paging.cursor)
    page = await api.profiles.search(q, reader, str(position[0]) if position else None, paging.limit)
    return user_list(paging, listing, page, public_url)


@router.get("/v1/users/by-username/{username}", response_model=User)
async def get_user_by_username(username: str, reader: ReaderId, api: UseCases, public_url: PublicUrl) -> User:
    """Get a user by username, in upper or lower case. A banned account and one that blocks the caller are not found."""
    return User.of(await api.profiles.by_username(username, reader), public_url)


@router.get("/v1/users/{user_id}", response_model=User)
async def get_user(user_id: PathId, reader: ReaderId, api: UseCases, public_url: PublicUrl) -> User:
    """Get a user."""
    return User.of(await api.profiles.get(user_id, reader), public_url)


@router.patch("/v1/users/{user_id}", response_model=User)
async def patch_user(user_id: PathId, body: ProfileRequest, me: CurrentUser, api: UseCases, url: PublicUrl) -> User:
    """Change the caller's profile. A change to public approves all follow requests."""
    await api.profiles.update(me.user_id, user_id, body.change(), body.avatar_media_id)
    await api.graph.accept_pending(me.user_id)
    return User.of(await api.profiles.get(me.user_id, me.user_id), url)


@router.put("/v1/users/{user_id}", response_model=User)
async def put_user(user_id: PathId, body: ProfileRequest, me: CurrentUser, api: UseCases, url: PublicUrl) -> User:
    """Change the caller's profile, like PATCH."""
    return await patch_user(user_id, body, me, api, url)
