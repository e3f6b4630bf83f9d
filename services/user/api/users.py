"""People and whom they follow."""

from typing import Annotated

from fastapi import APIRouter, Query

from libs.common.ids import parse_id
from libs.common.runtime.auth import CurrentUser, ReaderId
from libs.common.runtime.pagination import DEFAULT_LIMIT, PEOPLE_LIMIT, CursorParam, Cursors, Limit
from services.user.api.state import CursorsDep, GraphDep, ProfilesDep, PublicUrl
from services.user.domain.people import Page, Profile
from services.user.schemas import Following, ProfileRequest, User, UserList

router = APIRouter(tags=["people"])


def _answer(page: Page[Profile, int] | Page[Profile, str], listing: str, cursors: Cursors, public_url: str) -> UserList:
    following = None if page.last is None else cursors.encode(listing, [page.last])
    users = [User.of(profile, public_url) for profile in page.items]
    return UserList(users=users, next_cursor=following, has_more=following is not None)


@router.get("/v1/users", response_model=UserList)
async def search_users(
    q: Annotated[str, Query(min_length=1, max_length=30, description="how the username begins")],
    reader: ReaderId,
    profiles: ProfilesDep,
    cursors: CursorsDep,
    public_url: PublicUrl,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorParam = None,
) -> UserList:
    """People by the beginning of their username."""
    listing = f"search:{q}"
    position = cursors.decode(listing, cursor)
    page = await profiles.search(q, reader, str(position[0]) if position else None, limit)
    return _answer(page, listing, cursors, public_url)


@router.get("/v1/users/by-username/{username}", response_model=User)
async def get_user_by_username(username: str, reader: ReaderId, profiles: ProfilesDep, public_url: PublicUrl) -> User:
    """A profile."""
    return User.of(await profiles.by_username(username, reader), public_url)


@router.get("/v1/users/{user_id}", response_model=User)
async def get_user(user_id: str, reader: ReaderId, profiles: ProfilesDep, public_url: PublicUrl) -> User:
    """A profile."""
    return User.of(await profiles.get(parse_id(user_id), reader), public_url)


@router.patch("/v1/users/{user_id}", response_model=User)
async def patch_user(
    user_id: str, body: ProfileRequest, me: CurrentUser, profiles: ProfilesDep, public_url: PublicUrl
) -> User:
    """Change one's own profile."""
    profile = await profiles.update(me.user_id, parse_id(user_id), body.change(), body.avatar_media_id)
    return User.of(profile, public_url)


@router.put("/v1/users/{user_id}", response_model=User)
async def put_user(
    user_id: str, body: ProfileRequest, me: CurrentUser, profiles: ProfilesDep, public_url: PublicUrl
) -> User:
    """The same as PATCH."""
    return await patch_user(user_id, body, me, profiles, public_url)


@router.post("/v1/users/{user_id}/follow", response_model=Following)
async def follow(user_id: str, me: CurrentUser, graph: GraphDep) -> Following:
    """Follow."""
    await graph.follow(me.user_id, parse_id(user_id))
    return Following(following=True)


@router.delete("/v1/users/{user_id}/follow", status_code=204, response_model=None)
async def unfollow(user_id: str, me: CurrentUser, graph: GraphDep) -> None:
    """Unfollow."""
    await graph.unfollow(me.user_id, parse_id(user_id))


@router.delete("/v1/followers/{user_id}", status_code=204, response_model=None)
async def remove_follower(user_id: str, me: CurrentUser, graph: GraphDep) -> None:
    """Remove one of one's own followers."""
    await graph.remove_follower(me.user_id, parse_id(user_id))


@router.get("/v1/users/{user_id}/followers", response_model=UserList)
async def followers(
    user_id: str,
    reader: ReaderId,
    graph: GraphDep,
    cursors: CursorsDep,
    public_url: PublicUrl,
    limit: Limit = PEOPLE_LIMIT,
    cursor: CursorParam = None,
) -> UserList:
    """Who follows this person."""
    listing = f"followers:{user_id}"
    page = await graph.followers(parse_id(user_id), reader, cursors.after(listing, cursor), limit)
    return _answer(page, listing, cursors, public_url)


@router.get("/v1/users/{user_id}/following", response_model=UserList)
async def following(
    user_id: str,
    reader: ReaderId,
    graph: GraphDep,
    cursors: CursorsDep,
    public_url: PublicUrl,
    limit: Limit = PEOPLE_LIMIT,
    cursor: CursorParam = None,
) -> UserList:
    """Whom this person follows."""
    listing = f"following:{user_id}"
    page = await graph.following(parse_id(user_id), reader, cursors.after(listing, cursor), limit)
    return _answer(page, listing, cursors, public_url)


@router.get("/v1/users/{user_id}/mutuals", response_model=UserList)
async def mutuals(
    user_id: str,
    me: CurrentUser,
    graph: GraphDep,
    cursors: CursorsDep,
    public_url: PublicUrl,
    limit: Limit = PEOPLE_LIMIT,
    cursor: CursorParam = None,
) -> UserList:
    """This person's followers whom one follows oneself."""
    listing = f"mutuals:{user_id}:{me.user_id}"
    page = await graph.mutuals(parse_id(user_id), me.user_id, cursors.after(listing, cursor), limit)
    return _answer(page, listing, cursors, public_url)
