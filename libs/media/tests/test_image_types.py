import pytest

from libs.media.image_types import accepted_type, canonical_type, format_of, refusal_of


@pytest.mark.parametrize(
    ("head", "found", "accepted"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n..", "PNG", "image/png"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP", "image/webp"),
        (b"RIFF\0\0\0\0WAVE", None, None),
        (b"GIF89a", "GIF", None),
        (b"<html>", "HTML", None),
        (b"\0\0\0\x18ftypheic", "HEIC", None),
        (b"\0\0\0\x18ftypisom", "MP4", None),
        (b"", None, None),
    ],
)
def test_the_first_bytes_tell_the_type(head: bytes, found: str | None, accepted: str | None) -> None:
    assert (format_of(head), accepted_type(head)) == (found, accepted)
    assert refusal_of(head).startswith(f"The type of the file is {found or 'unknown'}.")


@pytest.mark.parametrize(
    "name", ["image/jpeg", "IMAGE/JPEG", "image/jpg", "image/pjpeg", " image/jpeg ; charset=binary"]
)
def test_one_type_has_many_names(name: str) -> None:
    assert canonical_type(name) == "image/jpeg"
