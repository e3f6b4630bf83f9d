"""What a client sends to make a post, as it is read."""

import json

import pytest
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.types import Message

from libs.common.core.errors import BadRequestError, InvalidError, UnsupportedMediaError
from services.post.api.submission import submission_of

BODY = {"caption": "hello", "media_ids": ["7"]}
JPEG = b"\xff\xd8\xff\xe0" + b"." * 20
PART = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'


def request(body: bytes, content_type: str) -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", content_type.encode())]}
    return Request(scope, receive)


def form(*parts: tuple[bytes, bytes, bytes]) -> Request:
    body = b"".join(PART % part for part in parts) + b"--b--\r\n"
    return request(body, "multipart/form-data; boundary=b")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"]
)
async def test_json_is_read_in_every_encoding_that_json_has(encoding: str, content_type: str) -> None:
    async with submission_of(request(json.dumps(BODY).encode(encoding), content_type)) as submission:
        assert (submission.draft.caption, submission.draft.media_ids) == ("hello", (7,))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", RequestValidationError),
        (b"[]", RequestValidationError),
        (b'{"media_ids": []}', RequestValidationError),
        (b"\xff\xfe\xfa", BadRequestError),
        (b"1" * 5_000, BadRequestError),
        (b"[" * 200_000, BadRequestError),
    ],
)
async def test_json_that_can_not_be_used(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        async with submission_of(request(body, "application/json")):
            pass


async def test_a_form_with_pictures() -> None:
    parts = [(b"image", b'; filename="%d"' % number, JPEG) for number in range(2)]
    async with submission_of(form(*parts, (b"caption", b"", b"hello"))) as submission:
        assert (len(submission.images), submission.draft.caption) == (2, "hello")


@pytest.mark.parametrize(
    ("second", "field"),
    [
        ((b"image", b"", JPEG), "image.1"),
        ((b"image", b"; filename*=UTF-8''caf%C3%A9.jpg", JPEG), "image.1"),
        ((b"image", b'; filename="2.gif"', b"GIF89a"), "image.1"),
        ((b"caption", b"", b"again"), "caption"),
    ],
)
async def test_a_form_is_refused_as_a_whole(second: tuple[bytes, bytes, bytes], field: str) -> None:
    first = (b"image", b'; filename="1.jpg"', JPEG)
    with pytest.raises(InvalidError) as refused:
        async with submission_of(form(first, (b"caption", b"", b"once"), second)):
            pass
    assert [error.field for error in refused.value.errors] == [field]


async def test_a_caption_that_is_not_utf_8_is_refused() -> None:
    """Read as Latin-1 it would be stored as other text than was sent."""
    picture = (b"image", b'; filename="1.jpg"', JPEG)
    with pytest.raises(BadRequestError, match="caption is not UTF-8"):
        async with submission_of(form(picture, (b"caption", b"", "caf\xe9".encode("latin-1")))):
            pass
    async with submission_of(form(picture, (b"caption", b"", "caf\xe9".encode()))) as submission:
        assert submission.draft.caption == "caf\xe9"


@pytest.mark.parametrize(
    "parts", [[(b"picture", b'; filename="1.jpg"', JPEG)], [(b"image", b'; filename="x"', JPEG)] * 12]
)
async def test_unknown_parts_and_too_many_pictures_are_named(parts: list[tuple[bytes, bytes, bytes]]) -> None:
    with pytest.raises(RequestValidationError):
        async with submission_of(form(*parts)):
            pass


async def test_other_types_are_refused() -> None:
    with pytest.raises(UnsupportedMediaError):
        async with submission_of(request(b"x", "text/plain")):
            pass
