"""Public routes."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from libs.common.stores.idempotency import Answer, Reservation
from libs.common.web.auth import CurrentUser
from libs.common.web.devices import DEVICE_HEADERS
from libs.common.web.middleware import charge_slot
from libs.common.web.params import Digits, IdempotencyKey, PathId
from services.media.api.body import body_of, declared_type
from services.media.api.ranges import ranged
from services.media.api.schemas import MediaAnswer, MediaState, UploadRequest, UploadTicket, status_of
from services.media.api.use_cases import UseCases
from services.media.domain import Upload

IMMUTABLE = "public, max-age=31536000, immutable"
EDGE_S = 30  # then the gateway revalidates, so that it stops serving deleted media
_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_FILE = {"content": {"image/webp": {}, "image/jpeg": {}}, "description": "The bytes"}
router = APIRouter(tags=["media"])


@router.post("/v1/media/upload-url", response_model=UploadTicket, response_model_exclude_none=True)
async def create_upload_url(
    body: UploadRequest, user: CurrentUser, api: UseCases, key: IdempotencyKey = None
) -> Response:
    """Create an upload URL for an image. Of an animation only the first frame is used."""

    async def create(reserved: Reservation) -> Answer:
        ticket = await api.library.announce(body.upload(reserved.resource_id, user.user_id))
        return Answer(200, UploadTicket.of(ticket).model_dump_json(exclude_none=True).encode())

    answer = await api.idempotency.run(user.user_id, key, b"upload-url " + body.model_dump_json().encode(), create)
    return Response(answer.body, answer.status, media_type="application/json")


async def _signed_upload(
    request: Request,
    upload_id: PathId,
    api: UseCases,
    expires: Annotated[int, Digits, Query(ge=0, lt=1 << 40)],
    signature: Annotated[str, Query(max_length=64)],
) -> Upload:
    upload = await api.library.authorize_put(upload_id, expires, signature, declared_type(request))
    charge_slot(request.scope, upload.owner_id)  # the request has no token that names the user
    return upload


@router.put("/v1/media/uploads/{upload_id}", status_code=204, response_model=None, openapi_extra=_UPLOAD_BODY)
async def put_upload(request: Request, upload: Annotated[Upload, Depends(_signed_upload)], api: UseCases) -> None:
    """Upload the bytes. The signature in the URL is the only permission."""
    await api.library.receive(upload, body_of(request))


@router.post("/v1/media/upload-url/{upload_id}/complete", response_model=MediaState)
async def complete_upload(upload_id: PathId, user: CurrentUser, api: UseCases) -> MediaState:
    """Complete an upload after its bytes were sent. A repeat gives the same response."""
    media = await api.library.complete(user.user_id, upload_id)
    return MediaState(media_id=media.media_id, status=status_of(media))


@router.get(
    "/v1/media/{media_id}", response_model=MediaAnswer, response_model_exclude_none=True, dependencies=DEVICE_HEADERS
)
async def read_media(request: Request, media_id: PathId, user: CurrentUser, api: UseCases) -> MediaAnswer:
    """Get the status of the caller's upload, and its URLs when it is ready."""
    media = await api.library.show(user.user_id, media_id)
    return MediaAnswer.of(media, request.app.state.settings.public_url)


@router.delete("/v1/media/{media_id}", status_code=204)
async def delete_media(media_id: PathId, user: CurrentUser, api: UseCases) -> None:
    """Delete the caller's upload. If a post or a profile uses it, the response is 409 `media_in_use`."""
    await api.lifetime.delete(user.user_id, media_id)


@router.get(
    "/v1/m/{prefix}/{user_id}/{media_id}/{secret}/{name}",
    response_model=None,
    response_class=StreamingResponse,
    responses={200: _FILE, 206: {**_FILE, "description": "A range of the bytes"}, 304: {"description": "Not changed"}},
)
async def read_variant(
    request: Request, prefix: str, user_id: str, media_id: str, secret: str, name: str, api: UseCases
) -> Response:
    """Get the bytes of a variant. They never change."""
    variant = await api.library.variant(prefix, user_id, media_id, secret, name)
    # Not from the file's time: a variant that is created again must keep the tag that caches hold.
    headers = {
        "Cache-Control": IMMUTABLE,
        "X-Accel-Expires": str(EDGE_S),
        "ETag": f'"{media_id}-{name}"',
        "X-Content-Type-Options": "nosniff",
    }
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return ranged(variant.file, request.headers.get("range"), variant.content_type, headers)
