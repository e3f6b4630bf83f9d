"""What a file would cost, by its headers: ordinary ones pass, costly ones are refused before anything is decoded."""

import io
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from workers.media.decoding.structure import (
    MAX_PARTS,
    MAX_PIXELS,
    MAX_SCANS,
    NotShowableError,
    Part,
    check,
    chunks,
    picture_only,
    riff_chunks,
    segments,
)
from workers.media.tests import hostile
from workers.media.tests.hostile import claiming, jpeg, png, png_chunk, rescanned, webp

TEN_MB = 10 * 1024 * 1024
SIGNATURES = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "WEBP": b"RIFF\0\0\0\0WEBP"}


def refusal(data: bytes) -> str:
    with pytest.raises(NotShowableError) as caught:
        check(data)
    return caught.value.reason


def saved(format_: str, mode: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((80, 50), 90).convert(mode).save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("format_", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0, "quality": 100}),
        ("JPEG", "CMYK", {"progressive": True}),
        ("JPEG", "L", {"restart_marker_blocks": 1}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("PNG", "1", {"optimize": True}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGBA", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {"save_all": True, "append_images": [Image.new("RGB", (80, 50))] * 3}),
    ],
)
def test_what_encoders_write_passes_and_is_measured(format_: str, mode: str, options: dict[str, object]) -> None:
    data = saved(format_, mode, **options)
    assert check(data) == 80 * 50
    with Image.open(io.BytesIO(data)) as whole, Image.open(io.BytesIO(picture_only(data))) as bare:
        assert bare.convert("RGBA").tobytes() == whole.convert("RGBA").tobytes()


@given(st.sampled_from(list(SIGNATURES.values())), st.binary(max_size=200))
def test_a_file_that_makes_no_sense_is_left_to_the_decoder(signature: bytes, rest: bytes) -> None:
    assert picture_only(signature + rest)[:2] == signature[:2]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_progressive_jpeg_of_the_largest_size_passes(mode: str) -> None:
    data = claiming(jpeg(mode, progressive=True, subsampling=0), 10_000, MAX_PIXELS // 10_000)
    assert check(data) == MAX_PIXELS


def test_scans_times_pixels_are_bounded() -> None:
    assert refusal(claiming(rescanned(jpeg(progressive=True), 50), 7_000, 7_000)) == "too_complex"
    assert check(claiming(rescanned(jpeg(progressive=True), 50), 2_000, 2_000)) == 4_000_000


def test_scans_are_bounded_however_small_the_picture() -> None:
    assert refusal(rescanned(jpeg(progressive=True), MAX_SCANS)) == "too_complex"


@pytest.mark.parametrize(
    "hidden_behind",
    [hostile.RESERVED_MARKER + b"\xff\xff", b"\xff\xd3", b"\xff\xff", b"\xff\0", b"\xff\x01\xff\xff", b"garbage"],
)
def test_no_marker_that_libjpeg_passes_over_hides_scans(hidden_behind: bytes) -> None:
    assert refusal(rescanned(jpeg(progressive=True), MAX_SCANS, hidden_behind=hidden_behind)) == "too_complex"


def test_what_follows_the_picture_is_not_counted() -> None:
    """A motion photo's film, or the other pictures of an MPO."""
    assert check(jpeg() + rescanned(jpeg(progressive=True), 2 * MAX_SCANS)) == 64 * 64


def test_the_thumbnail_is_not_counted() -> None:
    exif = b"Exif\0\0" + rescanned(jpeg(progressive=True), 2 * MAX_SCANS)
    assert check(saved("JPEG", "RGB", exif=exif)) == 80 * 50


@pytest.mark.parametrize(
    "data",
    [
        jpeg()[:2] + hostile.COMMENT * (MAX_PARTS + 1) + jpeg()[2:],
        png(64, 64, [png_chunk(b"tEXt")] * (MAX_PARTS + 1)),
        webp(hostile.webp_lossless_header(64, 64), *[(b"ANMF", b"")] * (MAX_PARTS + 1)),
    ],
    ids=SIGNATURES,
)
def test_parts_are_bounded(data: bytes) -> None:
    assert refusal(data) == "too_complex"


@pytest.mark.parametrize(
    "data",
    [
        claiming(jpeg(), 8_000, 7_000),
        claiming(rescanned(jpeg(progressive=True), 500), 30_000, 30_000),
        png(8_000, 7_000),
        webp(hostile.webp_canvas(16_384, 16_384)),
        webp(hostile.webp_canvas(10, 10), hostile.webp_lossless_header(16_384, 16_384)),
        webp(hostile.webp_lossy_header(16_383, 16_383)),
    ],
)
def test_pixels_are_bounded(data: bytes) -> None:
    assert refusal(data) == "too_many_pixels"


def test_a_png_whose_data_cannot_hold_its_pixels_is_corrupt() -> None:
    assert refusal(png(7_000, 7_000)) == "corrupt"
    assert check(png(7_000, 7_000, pixels=bytes(7_000 * 21_001))) == 49_000_000


@pytest.mark.parametrize("data", [b"", b"<html>", b"GIF89a\1\0\1\0", b"RIFF\0\0\0\0WAVE", b"\xff\xd8"])
def test_other_files_are_no_image(data: bytes) -> None:
    assert refusal(data) == "not_an_image"


@pytest.mark.parametrize(
    ("data", "parts", "before"),
    [
        (saved("JPEG", "RGB", progressive=True, exif=b"Exif\0\0II*\0", comment=b"one"), segments, 0),
        (saved("PNG", "RGB"), chunks, 8),
        (saved("WEBP", "RGBA", exif=b"Exif\0\0II*\0"), riff_chunks, 12),
    ],
    ids=SIGNATURES,
)
def test_the_parts_are_the_file(data: bytes, parts: Callable[[bytes], Iterator[Part]], before: int) -> None:
    assert data[:before] + b"".join(data[part.start : part.end] for part in parts(data)) == data


@pytest.mark.parametrize(
    "filler",
    [b"\xff", b"\xff\0", b"\xff\xd0", b"\xff\x02", b"\0", b"\xff\xda\0\2", b"\xff\xff\0", b"\xff\xfe\xff\xff"],
)
@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=SIGNATURES)
def test_no_file_takes_more_than_linear_time(signature: bytes, filler: bytes) -> None:
    """One of quadratic time would outlast the test run's time-out."""
    for start in (signature, signature + b"\xda\0\2" if signature[0] == 0xFF else signature):
        with suppress(NotShowableError):
            check(start + filler * (TEN_MB // len(filler)))


@given(
    st.sampled_from(list(SIGNATURES.values())),
    st.lists(
        st.binary(max_size=12)
        | st.sampled_from(
            [
                b"\xff\xc0",
                b"\xff\xc2",
                b"\xff\xda",
                b"\xff\xd9",
                b"IHDR",
                b"IDAT",
                b"VP8X",
                b"VP8 ",
                b"VP8L",
                b"\0\0\0\x0d",
            ]
        )
    ),
)
def test_any_bytes_are_judged_or_left_to_the_decoder(signature: bytes, rest: list[bytes]) -> None:
    with suppress(NotShowableError):
        assert check(signature + b"".join(rest)) >= 0


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, 12), (0, 16), (5, 2), (5, 5)],
    ids=["12 bits", "16 bits", "two components", "five components"],
)
def test_rare_jpegs_are_told_from_damaged_ones(at: int, value: int) -> None:
    data = bytearray(jpeg("RGB"))
    data[data.index(b"\xff\xc0") + 4 + at] = value
    assert refusal(bytes(data)) == "unsupported_encoding"


@pytest.mark.parametrize("marker", [0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF])
def test_hierarchical_and_arithmetic_lossless_jpegs_are_rare(marker: int) -> None:
    assert refusal(jpeg("RGB").replace(b"\xff\xc0", bytes([0xFF, marker]))) == "unsupported_encoding"
