"""Public routes of interactions."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from libs.common.core.ids import MAX_ID
from libs.common.stores.idempotency import Answer, Idempotency
from libs.common.web.auth import CurrentUser
from libs.common.web.devices import DEVICE_HEADERS
from libs.common.web.pagination import DEFAULT_LIMIT, PEOPLE_LIMIT, CursorParam, Cursors, Limit
from libs.common.web.params import IdempotencyKey, PathId
from services.interaction.auditing import Auditor
from services.interaction.domain import FIRST_PLACE, MarkKind, of_top_place, top_place
from services.interaction.schemas import (
    Comment,
    CommentOrder,
    CommentPage,
    CreateComment,
    Liked,
    Saved,
    SavedPage,
    UserPage,
)
from services.interaction.service import Comments, Marks

router = APIRouter(tags=["interactions"])


@dataclass(frozen=True, slots=True)
class InteractionApi:
    """What the routes call; put together in `__main__`."""

    marks: Marks
    comments: Comments
    auditor: Auditor
    keys: Idempotency
    cursors: Cursors


async def _api(request: Request) -> InteractionApi:
    api: InteractionApi = request.app.state.interactions
    return api


Api = Annotated[InteractionApi, Depends(_api)]


@router.post("/v1/posts/{post_id}/like")
async def like(post_id: PathId, user: CurrentUser, api: Api) -> Liked:
    """Like a post."""
    count = await api.marks.set(user.user_id, MarkKind.LIKE, post_id, active=True)
    return Liked(liked=True, like_count=count)


@router.delete("/v1/posts/{post_id}/like")
async def unlike(post_id: PathId, user: CurrentUser, api: Api) -> Liked:
    """Take a like back."""
    count = await api.marks.set(user.user_id, MarkKind.LIKE, post_id, active=False)
    return Liked(liked=False, like_count=count)


@router.post("/v1/posts/{post_id}/save")
async def save(post_id: PathId, user: CurrentUser, api: Api) -> Saved:
    """Save a post."""
    count = await api.marks.set(user.user_id, MarkKind.SAVE, post_id, active=True)
    return Saved(saved=True, save_count=count)


@router.delete("/v1/posts/{post_id}/save")
async def unsave(post_id: PathId, user: CurrentUser, api: Api) -> Saved:
    """Forget a saved post."""
    count = await api.marks.set(user.user_id, MarkKind.SAVE, post_id, active=False)
    return Saved(saved=False, save_count=count)


@router.get("/v1/posts/{post_id}/likes")
async def list_likes(
    post_id: PathId, user: CurrentUser, api: Api, limit: Limit = PEOPLE_LIMIT, cursor: CursorParam = None
) -> UserPage:
    """Who liked a post, newest first."""
    listing = f"likes:{post_id}"
    before = api.cursors.after(listing, cursor)
    likers = await api.marks.likers(user.user_id, post_id, MAX_ID if before is None else before, limit)
    following = api.cursors.following(listing, likers.last)
    return UserPage(users=likers.items, next_cursor=following, has_more=following is not None)


@router.get("/v1/saved", dependencies=DEVICE_HEADERS)
async def list_saved(
    user: CurrentUser, api: Api, limit: Limit = DEFAULT_LIMIT, cursor: CursorParam = None
) -> SavedPage:
    """The caller's saved posts, last saved first."""
    listing = f"saved:{user.user_id}"
    before = api.cursors.after(listing, cursor)
    saved = await api.marks.saved(user.user_id, MAX_ID if before is None else before, limit)
    following = api.cursors.following(listing, saved.last)
    return SavedPage(posts=saved.items, next_cursor=following, has_more=following is not None)


@router.post("/v1/posts/{post_id}/comments", status_code=201, response_model=Comment)
async def create_comment(
    post_id: PathId, wanted: CreateComment, user: CurrentUser, api: Api, key: IdempotencyKey = None
) -> Response:
    """Comment on a post, or reply to a comment."""

    async def create(comment_id: int) -> Answer:
        comment = await api.comments.add(user.user_id, post_id, comment_id, wanted.text, wanted.parent_id)
        return Answer(201, comment.model_dump_json().encode())

    request = f"POST comments {post_id} {wanted.model_dump_json()}".encode()
    answer = await api.keys.run(user.user_id, key, request, create)
    return Response(answer.body, answer.status, media_type="application/json")


@router.get("/v1/posts/{post_id}/comments")
async def list_comments(
    post_id: PathId,
    api: Api,
    user: CurrentUser,
    parent_id: PathId | None = None,
    order: CommentOrder = "oldest",
    limit: Limit = PEOPLE_LIMIT,
    cursor: CursorParam = None,
) -> CommentPage:
    """Comments on a post, or the replies to one: oldest first, or with `order=top` most liked first.

    The cursor of `top` holds the likes that the last comment had when it was shown. A comment that gets likes while one
    pages may come twice or not at all.
    """
    listing = f"comments:{post_id}:{parent_id}"
    if order == "top":
        listing = f"top:{listing}"
        shown = api.cursors.decode(listing, cursor)
        beyond = top_place(*map(int, shown)) if shown else FIRST_PLACE
        top = await api.comments.top(user.user_id, post_id, parent_id, beyond, limit)
        following = None if top.last is None else api.cursors.encode(listing, of_top_place(top.last))
        return CommentPage(comments=top.items, next_cursor=following, has_more=following is not None)
    after = api.cursors.after(listing, cursor)
    comments = await api.comments.list(user.user_id, post_id, parent_id, after or 0, limit)
    following = api.cursors.following(listing, comments.last)
    return CommentPage(comments=comments.items, next_cursor=following, has_more=following is not None)


@router.delete("/v1/comments/{comment_id}", status_code=204)
async def delete_comment(comment_id: PathId, user: CurrentUser, api: Api) -> None:
    """Delete one's own comment, or one on one's own post."""
    await api.comments.delete(user.user_id, comment_id)


@router.post("/v1/comments/{comment_id}/like")
async def like_comment(comment_id: PathId, user: CurrentUser, api: Api) -> Liked:
    """Like a comment."""
    return Liked(liked=True, like_count=await api.marks.like_comment(user.user_id, comment_id, active=True))


@router.delete("/v1/comments/{comment_id}/like")
async def unlike_comment(comment_id: PathId, user: CurrentUser, api: Api) -> Liked:
    """Take a like of a comment back."""
    return Liked(liked=False, like_count=await api.marks.like_comment(user.user_id, comment_id, active=False))


@router.post("/v1/posts/{post_id}/view", status_code=202, response_class=Response)
async def record_view(post_id: PathId, user: CurrentUser, api: Api) -> Response:
    """The caller saw the post."""
    await api.comments.viewed(user.user_id, post_id)
    return Response(status_code=202)
