"""Public routes of posts."""

from typing import Any

from fastapi import APIRouter, Request, Response

from libs.common.stores.idempotency import Answer, Reservation
from libs.common.web.auth import CurrentUser, ReaderId
from libs.common.web.devices import DEVICE_HEADERS
from libs.common.web.paging import PagingDep
from libs.common.web.params import IdempotencyKey, PathId
from libs.contracts.public import Post
from services.post.api.schemas import (
    Accepted,
    Created,
    CreateMultipart,
    CreatePost,
    PatchPost,
    PostPage,
    PostStatus,
)
from services.post.api.submission import submission_of
from services.post.api.use_cases import UseCases
from services.post.domain import normalized_tag
from services.post.service.creator import CreatedPost
from services.post.service.writer import PostChange

router = APIRouter(tags=["posts"])


_BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": CreatePost.model_json_schema(ref_template="#/components/schemas/{model}")},
            "multipart/form-data": {"schema": CreateMultipart.model_json_schema()},
        },
    }
}


@router.post(
    "/v1/posts",
    status_code=201,
    response_model=Created,
    responses={202: {"model": Accepted, "description": "The post is created, but not published yet"}},
    openapi_extra=_BODIES,
    dependencies=DEVICE_HEADERS,
)
async def create_post(request: Request, user: CurrentUser, api: UseCases, key: IdempotencyKey = None) -> Response:
    """Create a post from uploaded media (JSON), or from images in the same request (multipart)."""
    async with submission_of(request) as submission:

        async def create(reserved: Reservation) -> Answer:
            post_id, retried = reserved.resource_id, reserved.is_retry
            return _answer(
                await api.creator.create(user.user_id, post_id, submission.draft, submission.images, retried=retried)
            )

        answer = await api.idempotency.run(user.user_id, key, b"POST /v1/posts " + submission.fingerprint, create)
    return Response(answer.body, answer.status, media_type="application/json")


def _answer(created: CreatedPost) -> Answer:
    """201 with the post if it is published, otherwise 202."""
    post = created.post
    if created.shown is not None:
        return Answer(
            201, Created(post_id=post.post_id, status=post.status, post=created.shown).model_dump_json().encode()
        )
    accepted = Accepted(
        post_id=post.post_id,
        status=post.status,
        estimated_ready_at=created.ready_at,
        status_url=f"/v1/posts/{post.post_id}/status",
    )
    return Answer(202, accepted.model_dump_json().encode())


@router.get("/v1/posts/{post_id}/status")
async def get_post_status(post_id: PathId, reader_id: ReaderId, api: UseCases) -> PostStatus:
    """Get the status of a post. Before publication only its author may read it."""
    post = await api.reader.stored(reader_id, post_id)
    return PostStatus(post_id=post.post_id, status=post.status, reason=post.reason)


@router.get("/v1/posts/{post_id}", dependencies=DEVICE_HEADERS)
async def get_post(post_id: PathId, reader_id: ReaderId, api: UseCases) -> Post:
    """Get a post."""
    return await api.reader.one(reader_id, post_id)


@router.patch("/v1/posts/{post_id}", dependencies=DEVICE_HEADERS)
async def patch_post(post_id: PathId, patch: PatchPost, user: CurrentUser, api: UseCases) -> Post:
    """Change the caption or the location of the caller's post."""
    await api.reader.stored(user.user_id, post_id)
    change = PostChange(patch.caption, patch.location, keep_location="location" not in patch.model_fields_set)
    post = await api.writer.edit(user.user_id, post_id, change)
    return await api.reader.present(user.user_id, post)


@router.delete("/v1/posts/{post_id}", status_code=204)
async def delete_post(post_id: PathId, user: CurrentUser, api: UseCases) -> None:
    """Delete the caller's post."""
    await api.reader.stored(user.user_id, post_id)
    await api.writer.delete(user.user_id, post_id)


@router.get("/v1/users/{user_id}/posts", dependencies=DEVICE_HEADERS)
async def list_user_posts(user_id: PathId, reader_id: ReaderId, api: UseCases, paging: PagingDep) -> PostPage:
    """List the posts of a user, newest first."""
    listing = f"user-posts:{user_id}"
    page = await api.reader.by_author(reader_id, user_id, paging.after(listing), paging.limit)
    return PostPage(posts=page.items, **paging.fields(listing, page.last))


@router.get("/v1/hashtags/{tag}/posts", dependencies=DEVICE_HEADERS)
async def list_hashtag_posts(tag: str, reader_id: ReaderId, api: UseCases, paging: PagingDep) -> PostPage:
    """List posts with a hashtag, newest first."""
    listing = f"hashtag-posts:{normalized_tag(tag)}"
    page = await api.reader.by_hashtag(reader_id, tag, paging.after(listing), paging.limit)
    return PostPage(posts=page.items, **paging.fields(listing, page.last))
