"""Public routes of interactions."""

from fastapi import APIRouter, Response

from libs.common.core.ids import MAX_ID
from libs.common.stores.idempotency import Answer, Reservation
from libs.common.web.auth import CurrentUser
from libs.common.web.devices import DEVICE_HEADERS
from libs.common.web.paging import LongPagingDep, PagingDep
from libs.common.web.params import IdempotencyKey, PathId
from services.interaction.api.schemas import CommentOrder, CommentPage, CreateComment, Liked, Saved, SavedPage, UserPage
from services.interaction.api.use_cases import UseCases
from services.interaction.domain import FIRST_POSITION, MarkKind, from_top_position, top_position
from services.interaction.service.views import Comment

router = APIRouter(tags=["interactions"])


@router.post("/v1/posts/{post_id}/like")
async def like(post_id: PathId, user: CurrentUser, api: UseCases) -> Liked:
    """Like a post."""
    count = await api.marks.set(user.user_id, MarkKind.LIKE, post_id, active=True)
    return Liked(liked=True, like_count=count)


@router.delete("/v1/posts/{post_id}/like")
async def unlike(post_id: PathId, user: CurrentUser, api: UseCases) -> Liked:
    """Unlike a post."""
    count = await api.marks.set(user.user_id, MarkKind.LIKE, post_id, active=False)
    return Liked(liked=False, like_count=count)


@router.post("/v1/posts/{post_id}/save")
async def save(post_id: PathId, user: CurrentUser, api: UseCases) -> Saved:
    """Save a post."""
    count = await api.marks.set(user.user_id, MarkKind.SAVE, post_id, active=True)
    return Saved(saved=True, save_count=count)


@router.delete("/v1/posts/{post_id}/save")
async def unsave(post_id: PathId, user: CurrentUser, api: UseCases) -> Saved:
    """Unsave a post."""
    count = await api.marks.set(user.user_id, MarkKind.SAVE, post_id, active=False)
    return Saved(saved=False, save_count=count)


@router.get("/v1/posts/{post_id}/likes")
async def list_likes(post_id: PathId, user: CurrentUser, api: UseCases, paging: LongPagingDep) -> UserPage:
    """List the users who liked a post, newest like first."""
    listing = f"likes:{post_id}"
    before = paging.after(listing)
    page = await api.marks.likers(user.user_id, post_id, MAX_ID if before is None else before, paging.limit)
    return UserPage(users=page.items, **paging.fields(listing, page.last))


@router.get("/v1/saved", dependencies=DEVICE_HEADERS)
async def list_saved(user: CurrentUser, api: UseCases, paging: PagingDep) -> SavedPage:
    """List the caller's saved posts, last saved first."""
    listing = f"saved:{user.user_id}"
    before = paging.after(listing)
    page = await api.marks.saved(user.user_id, MAX_ID if before is None else before, paging.limit)
    return SavedPage(posts=page.items, **paging.fields(listing, page.last))


@router.post("/v1/posts/{post_id}/comments", status_code=201, response_model=Comment)
async def create_comment(
    post_id: PathId, wanted: CreateComment, user: CurrentUser, api: UseCases, key: IdempotencyKey = None
) -> Response:
    """Comment on a post, or reply to a comment."""

    async def create(reserved: Reservation) -> Answer:
        new_id = reserved.resource_id
        comment = await api.comments.add(user.user_id, post_id, new_id, wanted.text, wanted.parent_id)
        return Answer(201, comment.model_dump_json().encode())

    request = f"POST comments {post_id} {wanted.model_dump_json()}".encode()
    answer = await api.idempotency.run(user.user_id, key, request, create)
    return Response(answer.body, answer.status, media_type="application/json")


@router.get("/v1/posts/{post_id}/comments")
async def list_comments(
    post_id: PathId,
    api: UseCases,
    user: CurrentUser,
    paging: LongPagingDep,
    parent_id: PathId | None = None,
    order: CommentOrder = "oldest",
) -> CommentPage:
    """List the comments on a post, or the replies to a comment: oldest first, or with `order=top` most liked first.

    With `order=top`, a comment that gets likes during pagination may appear twice or not at all.
    """
    listing = f"comments:{post_id}:{parent_id}"
    if order == "top":
        return await _top_comments(post_id, api, user, paging, parent_id)
    page = await api.comments.list(user.user_id, post_id, parent_id, paging.after(listing) or 0, paging.limit)
    return CommentPage(comments=page.items, **paging.fields(listing, page.last))


async def _top_comments(
    post_id: int, api: UseCases, user: CurrentUser, paging: LongPagingDep, parent_id: int | None
) -> CommentPage:
    listing = f"top:comments:{post_id}:{parent_id}"
    shown = paging.cursors.decode(listing, paging.cursor)
    beyond = top_position(*map(int, shown)) if shown else FIRST_POSITION
    page = await api.comments.top(user.user_id, post_id, parent_id, beyond, paging.limit)
    following = None if page.last is None else paging.cursors.encode(listing, from_top_position(page.last))
    return CommentPage(comments=page.items, next_cursor=following, has_more=following is not None)


@router.delete("/v1/comments/{comment_id}", status_code=204)
async def delete_comment(comment_id: PathId, user: CurrentUser, api: UseCases) -> None:
    """Delete the caller's comment, or a comment on the caller's post."""
    await api.comments.delete(user.user_id, comment_id)


@router.post("/v1/comments/{comment_id}/like")
async def like_comment(comment_id: PathId, user: CurrentUser, api: UseCases) -> Liked:
    """Like a comment."""
    return Liked(liked=True, like_count=await api.marks.like_comment(user.user_id, comment_id, active=True))


@router.delete("/v1/comments/{comment_id}/like")
async def unlike_comment(comment_id: PathId, user: CurrentUser, api: UseCases) -> Liked:
    """Unlike a comment."""
    return Liked(liked=False, like_count=await api.marks.like_comment(user.user_id, comment_id, active=False))


@router.post("/v1/posts/{post_id}/view", status_code=202, response_class=Response)
async def record_view(post_id: PathId, user: CurrentUser, api: UseCases) -> Response:
    """Record that the caller viewed a post."""
    await api.comments.record_view(user.user_id, post_id)
    return Response(status_code=202)
