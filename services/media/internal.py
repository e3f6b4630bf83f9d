"""Routes for other services."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from libs.common.core.ids import MAX_ID
from libs.common.web.auth import CallingService
from libs.common.web.params import Digits
from libs.media.paths import new_secret
from services.media.domain import Upload
from services.media.http import Library, MediaLifetime, body_of
from services.media.lifetime import PROFILE
from services.media.schemas import BatchAnswer, BatchRequest, OwnedMedia, StoreAnswer, status_of

router = APIRouter(prefix="/internal/media", include_in_schema=False)


@router.post("/batch", response_model=BatchAnswer)
async def find_media(body: BatchRequest, _: CallingService, library: Library, lifetime: MediaLifetime) -> BatchAnswer:
    """State and document of media; unknown ones are left out."""
    found = await library.find(body.media_ids)
    if body.profile_of is not None:
        own = [media.media_id for media in found if media.owner_id == body.profile_of]
        await lifetime.shown(PROFILE, body.profile_of, own)
    return BatchAnswer(media=[OwnedMedia.of(media) for media in found])


@router.post("/store", response_model=StoreAnswer)
async def store_media(
    request: Request, _: CallingService, library: Library, owner_id: Annotated[int, Digits, Query(ge=0, le=MAX_ID)]
) -> StoreAnswer:
    """Take bytes that another service received: put and complete in one."""
    upload = Upload(request.app.state.mint(), owner_id, "", 0, "post", new_secret())
    media = await library.store(upload, body_of(request))
    return StoreAnswer(media_id=media.media_id, status=status_of(media))
