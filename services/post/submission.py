"""What a client sent to make a post: JSON that names uploads, or a form with the pictures themselves."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from libs.common.runtime.errors import TooLargeError
from libs.common.runtime.validation import request_invalid
from services.post.domain import Draft
from services.post.errors import ContentTypeError
from services.post.ports import MediaLibrary
from services.post.schemas import MEDIA_A_POST, CreateMultipart, CreatePost

IMAGE_BYTES = 10 * 1024 * 1024
BODY_BYTES = MEDIA_A_POST * IMAGE_BYTES + 1024 * 1024  # ten pictures, the caption, the boundaries


@dataclass(frozen=True, slots=True)
class Submission:
    """The checked request. `fingerprint` tells it from others; `images` are still to be uploaded."""

    fingerprint: bytes
    draft: Draft
    images: Sequence[UploadFile]

    async def uploaded(self, author_id: int, media: MediaLibrary) -> Draft:
        """The draft with its pictures handed to the media service, one after the other: one is in memory at a time."""
        if not self.images:
            return self.draft
        ids = [await media.store(author_id, image.content_type or "", await image.read()) for image in self.images]
        return Draft(self.draft.caption, tuple(ids), self.draft.hashtags, self.draft.location)


@asynccontextmanager
async def submission_of(request: Request) -> AsyncIterator[Submission]:
    """Parse the body. Spooled files go with the context.

    Raises:
        RequestValidationError, TooLargeError, ContentTypeError.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        yield _from_json(await request.body())
    elif kind == "multipart/form-data":
        async with request.form(max_files=MEDIA_A_POST + 1, max_fields=4) as form:
            yield await _from_form(form)
    else:
        raise ContentTypeError


def _from_json(body: bytes) -> Submission:
    try:
        wanted = CreatePost.model_validate_json(body)
    except ValidationError as error:
        raise request_invalid(error) from error
    draft = Draft(wanted.caption, tuple(wanted.media_ids), tuple(wanted.hashtags), wanted.location)
    return Submission(body, draft, ())


async def _from_form(form: FormData) -> Submission:
    images = [item for item in form.getlist("image") if isinstance(item, UploadFile)]
    rest = {name: value for name, value in form.items() if name != "image"}
    try:
        wanted = CreateMultipart.model_validate({**rest, "image": [image.filename or "" for image in images]})
    except ValidationError as error:
        raise request_invalid(error) from error
    digest = hashlib.sha256(wanted.caption.encode())
    for image in images:
        if (image.size or 0) > IMAGE_BYTES:
            raise TooLargeError(f"a picture may have {IMAGE_BYTES} bytes")
        content = await image.read()
        digest.update((await asyncio.to_thread(hashlib.sha256, content)).digest())  # some 10 ms, beside the event loop
        await image.seek(0)
    return Submission(digest.digest(), Draft(wanted.caption, (), (), None), images)
