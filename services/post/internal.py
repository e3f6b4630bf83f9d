"""Routes for other services."""

from typing import Any

from fastapi import APIRouter

from libs.common.web.auth import CallingService
from libs.contracts.public import Post, PostRecord
from services.post.api.schemas import BatchRequest, HydrateRequest, RecentRequest
from services.post.api.use_cases import UseCases

router = APIRouter(prefix="/internal/posts", include_in_schema=False)


@router.post("/batch")
async def batch(wanted: BatchRequest, _: CallingService, api: UseCases) -> dict[str, list[PostRecord]]:
    """Published posts."""
    return {"posts": await api.reader.records(wanted.post_ids, wanted.reader_id)}


@router.post("/traits", response_model=None)
async def traits(wanted: BatchRequest, _: CallingService, api: UseCases) -> dict[str, Any]:
    """[post, author, likes, comments, saves] of published posts."""
    return {"posts": await api.reader.traits(wanted.post_ids)}


@router.post("/recent", response_model=None)
async def recent(wanted: RecentRequest, _: CallingService, api: UseCases) -> dict[str, Any]:
    """[author, post] pairs."""
    pairs = await api.reader.recent(wanted.author_ids, wanted.after_id, wanted.before_id, wanted.limit_each)
    return {"posts": pairs}


@router.post("/hydrate")
async def hydrate(wanted: HydrateRequest, _: CallingService, api: UseCases) -> dict[str, list[Post]]:
    """Posts as a reader sees them, in the order asked for."""
    return {"posts": await api.reader.hydrate(wanted.reader_id, wanted.post_ids)}
