"""Routes for other services."""

from fastapi import APIRouter

from libs.common.web.auth import CallingService
from libs.contracts.internal.post import (
    HydratedPostsAnswer,
    PostRecordsAnswer,
    PostsRequest,
    RankingFeaturesAnswer,
    RecentPostsAnswer,
    RecentPostsRequest,
)
from services.post.api.use_cases import UseCases

router = APIRouter(prefix="/internal/posts", include_in_schema=False)


@router.post("/batch")
async def batch(wanted: PostsRequest, _: CallingService, api: UseCases) -> PostRecordsAnswer:
    """Return the published posts of the request, in any order."""
    return PostRecordsAnswer(posts=await api.reader.records(wanted.post_ids, wanted.reader_id))


@router.post("/traits")
async def ranking_features(wanted: PostsRequest, _: CallingService, api: UseCases) -> RankingFeaturesAnswer:
    """Return the inputs of ranking for each published post. The path has the name of an earlier release."""
    return RankingFeaturesAnswer(posts=await api.reader.ranking_features(wanted.post_ids))


@router.post("/recent")
async def recent(wanted: RecentPostsRequest, _: CallingService, api: UseCases) -> RecentPostsAnswer:
    """Return ids of recent posts by author, newest first."""
    pairs = await api.reader.recent(wanted.author_ids, wanted.after_id, wanted.before_id, wanted.limit_each)
    return RecentPostsAnswer(posts=pairs)


@router.post("/hydrate")
async def hydrate(wanted: PostsRequest, _: CallingService, api: UseCases) -> HydratedPostsAnswer:
    """Return posts as a reader sees them, in the order of the request."""
    return HydratedPostsAnswer(posts=await api.reader.hydrate(wanted.reader_id, wanted.post_ids))
