"""Routes for other services."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from libs.common.core.ids import MAX_ID
from libs.common.web.auth import CallingService
from libs.common.web.params import Digits
from libs.contracts.internal.media import MediaAnswers, MediaRecord, MediaRequest, MediaStored
from libs.media.paths import new_secret
from services.media.api.body import body_of
from services.media.api.schemas import status_of
from services.media.api.use_cases import UseCases
from services.media.domain import MediaUse, StoredMedia, Upload
from services.media.service.lifetime import PROFILE

router = APIRouter(prefix="/internal/media", include_in_schema=False)


@router.post("/batch")
async def find_media(body: MediaRequest, _: CallingService, api: UseCases) -> MediaAnswers:
    """Return the status and the document of each upload. Unknown uploads are left out."""
    found = await api.library.find(body.media_ids)
    if body.profile_of is not None:
        owner_id = body.profile_of
        own = [MediaUse(media.media_id, owner_id, PROFILE) for media in found if media.owner_id == owner_id]
        await api.lifetime.mark_used(own)
    return MediaAnswers(media=[_record(media) for media in found])


@router.post("/store")
async def store_media(
    request: Request, _: CallingService, api: UseCases, owner_id: Annotated[int, Digits, Query(ge=0, le=MAX_ID)]
) -> MediaStored:
    """Store an image that another service received, and complete the upload."""
    upload = Upload(api.mint(), owner_id, "", 0, new_secret())
    media = await api.library.store(upload, body_of(request))
    return MediaStored(media_id=media.media_id, status=status_of(media))


def _record(media: StoredMedia) -> MediaRecord:
    return MediaRecord(
        media_id=media.media_id,
        owner_id=media.owner_id,
        status=status_of(media),
        reason=media.reason,
        document=media.document,
    )
