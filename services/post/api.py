"""Public routes of posts."""

import contextlib
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from libs.common.core.errors import UnavailableError
from libs.common.stores.idempotency import Answer, Idempotency
from libs.common.web.auth import CurrentUser, Principal, ReaderId
from libs.common.web.devices import DEVICE_HEADERS
from libs.common.web.pagination import DEFAULT_LIMIT, CursorParam, Limit, Page
from libs.common.web.params import IdempotencyKey, PathId
from libs.contracts.base import utc_now
from libs.contracts.public import Post
from services.post.domain import Status, StoredPost, normal_tag
from services.post.ports import MediaLibrary
from services.post.reading import PostReader
from services.post.schemas import (
    Accepted,
    Created,
    CreateMultipart,
    CreatePost,
    PatchPost,
    PostPage,
    PostStatus,
)
from services.post.settings import PostSettings
from services.post.submission import Submission, submission_of
from services.post.writing import Change, PostWriter

router = APIRouter(tags=["posts"])


class PostApi:
    """What the routes call; put together in `__main__`."""

    def __init__(
        self, writer: PostWriter, reader: PostReader, media: MediaLibrary, keys: Idempotency, settings: PostSettings
    ) -> None:
        self.writer = writer
        self.reader = reader
        self.media = media
        self.keys = keys
        self._picture = timedelta(seconds=settings.seconds_a_picture)

    async def create(self, author: Principal, post_id: int, submission: Submission) -> Answer:
        """Make the post that was sent. One that an earlier try made is told of as it is: nothing is uploaded again."""
        post = await self.writer.settle(post_id)
        if post is None:
            draft = await submission.uploaded(author.user_id, self.media)
            post = await self.writer.create(author.user_id, post_id, draft)
        return await self._created(author, post)

    async def _created(self, author: Principal, post: StoredPost) -> Answer:
        """201 with the post when it can be shown, 202 when it will be: it is made, whoever is away now."""
        if post.status is Status.PUBLISHED:
            with contextlib.suppress(UnavailableError):
                shown = await self.reader.present(author.user_id, post)
                created = Created(post_id=post.post_id, status=post.status, post=shown)
                return Answer(201, created.model_dump_json().encode())
        accepted = Accepted(
            post_id=post.post_id,
            status=post.status,
            estimated_ready_at=utc_now() + self._picture * len(post.media_ids),
            status_url=f"/v1/posts/{post.post_id}/status",
        )
        return Answer(202, accepted.model_dump_json().encode())


async def _api(request: Request) -> PostApi:
    api: PostApi = request.app.state.post_api
    return api


Api = Annotated[PostApi, Depends(_api)]


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
    responses={202: {"model": Accepted, "description": "It is made, and can't be shown yet"}},
    openapi_extra=_BODIES,
    dependencies=DEVICE_HEADERS,
)
async def create_post(request: Request, user: CurrentUser, api: Api, key: IdempotencyKey = None) -> Response:
    """A new post, from uploaded media (JSON) or from pictures in one request (multipart)."""
    async with submission_of(request) as submission:

        async def create(post_id: int) -> Answer:
            return await api.create(user, post_id, submission)

        answer = await api.keys.run(user.user_id, key, b"POST /v1/posts " + submission.fingerprint, create)
    return Response(answer.body, answer.status, media_type="application/json")


@router.get("/v1/posts/{post_id}/status")
async def get_post_status(post_id: PathId, reader_id: ReaderId, api: Api) -> PostStatus:
    """Where a post stands; before it is published only its author may ask."""
    post = await api.reader.stored(reader_id, post_id)
    return PostStatus(post_id=post.post_id, status=post.status, reason=post.reason)


@router.get("/v1/posts/{post_id}", dependencies=DEVICE_HEADERS)
async def get_post(post_id: PathId, reader_id: ReaderId, api: Api) -> Post:
    """One post."""
    return await api.reader.one(reader_id, post_id)


@router.patch("/v1/posts/{post_id}", dependencies=DEVICE_HEADERS)
async def patch_post(post_id: PathId, patch: PatchPost, user: CurrentUser, api: Api) -> Post:
    """Change caption or location of one's own post."""
    await api.reader.stored(user.user_id, post_id)
    change = Change(patch.caption, patch.location, keep_location="location" not in patch.model_fields_set)
    post = await api.writer.edit(user.user_id, post_id, change)
    return await api.reader.present(user.user_id, post)


@router.delete("/v1/posts/{post_id}", status_code=204)
async def delete_post(post_id: PathId, user: CurrentUser, api: Api) -> None:
    """Delete one's own post."""
    await api.reader.stored(user.user_id, post_id)
    await api.writer.delete(user.user_id, post_id)


@router.get("/v1/users/{user_id}/posts", dependencies=DEVICE_HEADERS)
async def list_user_posts(
    request: Request,
    user_id: PathId,
    reader_id: ReaderId,
    api: Api,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorParam = None,
) -> PostPage:
    """Someone's posts, newest first."""
    listing = f"user-posts:{user_id}"
    before = request.app.state.cursors.after(listing, cursor)
    return _page(request, listing, await api.reader.by_author(reader_id, user_id, before, limit))


@router.get("/v1/hashtags/{tag}/posts", dependencies=DEVICE_HEADERS)
async def list_hashtag_posts(
    request: Request, tag: str, reader_id: ReaderId, api: Api, limit: Limit = DEFAULT_LIMIT, cursor: CursorParam = None
) -> PostPage:
    """Posts with a hashtag, newest first."""
    listing = f"hashtag-posts:{normal_tag(tag)}"
    before = request.app.state.cursors.after(listing, cursor)
    return _page(request, listing, await api.reader.by_hashtag(reader_id, tag, before, limit))


def _page(request: Request, listing: str, posts: Page[Post]) -> PostPage:
    following = request.app.state.cursors.following(listing, posts.last)
    return PostPage(posts=posts.items, next_cursor=following, has_more=following is not None)
