"""The request that creates a post: JSON that names uploads, or a form with the images themselves."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from libs.common.core.errors import BadRequestError, TooLargeError, UnsupportedMediaError, invalid_field
from libs.common.web.validation import request_invalid
from libs.media.errors import NotAnImageError
from libs.media.image_types import HEAD_BYTES, accepted_type, canonical_type, refusal_of
from services.post.api.schemas import MEDIA_PER_POST, CreateMultipart, CreatePost
from services.post.domain import Draft

IMAGE_BYTES = 10 * 1024 * 1024
PICTURE = "image"  # the field may be repeated
MAX_FILES = 100  # the parser's limit, far above the allowed number, so that the error can name that number
MAX_FIELDS = MEDIA_PER_POST + 4  # each takes up to 1 MB of memory; an image without a filename counts as a field
BODY_BYTES = MEDIA_PER_POST * IMAGE_BYTES + 1024 * 1024  # ten images, the caption and the boundaries


class _Utf8Parser(MultiPartParser):
    """Rejects text that is not UTF-8, which the base class would read as Latin-1."""

    def on_part_end(self) -> None:
        if self._current_part.file is None and self._current_part.field_name != PICTURE:
            try:
                bytes(self._current_part.data).decode()
            except UnicodeDecodeError as error:
                raise MultiPartException(f"The field {self._current_part.field_name} is not UTF-8") from error
        super().on_part_end()


@dataclass(frozen=True, slots=True)
class Submission:
    """A validated request. `fingerprint` identifies its content. `images` are not uploaded yet."""

    fingerprint: bytes
    draft: Draft
    images: Sequence[UploadFile]


@asynccontextmanager
async def submission_of(request: Request) -> AsyncIterator[Submission]:
    """Parse the body. Temporary files are deleted at the end of the context.

    Raises:
        RequestValidationError, TooLargeError, UnsupportedMediaError, BadRequestError.
    """
    kind = canonical_type(request.headers.get("content-type", ""))
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        yield _from_json(await request.body())
    elif kind == "multipart/form-data":
        parser = _Utf8Parser(request.headers, request.stream(), max_files=MAX_FILES, max_fields=MAX_FIELDS)
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise BadRequestError(f"{error.message.rstrip('.')}.") from error
        try:
            yield await _from_form(form)
        finally:
            await form.close()
    else:
        raise UnsupportedMediaError("Send application/json or multipart/form-data.")


def _from_json(body: bytes) -> Submission:
    """Parse JSON like the other routes do: also UTF-16, and with a byte order mark."""
    try:
        wanted = CreatePost.model_validate(json.loads(body))
    except json.JSONDecodeError as error:
        fault = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
        raise RequestValidationError([fault]) from error
    except ValidationError as error:
        raise request_invalid(error) from error
    except (ValueError, RecursionError) as error:  # no text, a number of thousands of digits, too deep
        raise BadRequestError("The body is not valid JSON.") from error
    draft = Draft(wanted.caption, tuple(wanted.media_ids), tuple(wanted.hashtags), wanted.location)
    return Submission(body, draft, ())


async def _from_form(form: FormData) -> Submission:
    """Validate a form and its images; unknown and repeated fields are refused.

    Raises:
        RequestValidationError, InvalidError, TooLargeError.
    """
    images = form.getlist(PICTURE)
    rest = [(name, value) for name, value in form.multi_items() if name != PICTURE]
    if twice := [name for name, times in Counter(name for name, _ in rest).items() if times > 1]:
        raise invalid_field(twice[0], "The field is given more than once.")
    try:
        wanted = CreateMultipart.model_validate({**dict(rest), "image": ["" for _ in images]})
    except ValidationError as error:
        raise request_invalid(error) from error
    digest, files = hashlib.sha256(wanted.caption.encode()), list[UploadFile]()
    for index, image in enumerate(images):
        if not isinstance(image, UploadFile):  # the parser treats it as text
            raise invalid_field(f"image.{index}", "The picture has no filename. Send it as a file, with a filename.")
        if (image.size or 0) > IMAGE_BYTES:
            raise TooLargeError(f"The file image.{index} ({image.filename}) has more than {IMAGE_BYTES} bytes.")
        content = await image.read()
        if accepted_type(content[:HEAD_BYTES]) is None:
            raise invalid_field(f"image.{index}", refusal_of(content[:HEAD_BYTES]), NotAnImageError)
        digest.update((await asyncio.to_thread(hashlib.sha256, content)).digest())  # about 10 ms, in a thread
        await image.seek(0)
        files.append(image)
    return Submission(digest.digest(), Draft(wanted.caption, (), (), None), files)
