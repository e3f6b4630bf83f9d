"""Decoding of hostile and of ordinary files."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageCms, ImageDraw

from workers.media.decoding.images import FIT_PX, dominant_color, make_variants
from workers.media.decoding.png_color import png_profile
from workers.media.decoding.structure import NotShowableError, check, picture_only
from workers.media.domain.documents import FILES
from workers.media.domain.picture import Decoded
from workers.media.tests.hostile import png, png_chunk

NO_PYDANTIC = "import sys, workers.media.decoding.images; sys.exit('pydantic' in sys.modules)"
RED, GREEN, BLUE = (200, 30, 30), (30, 160, 60), (40, 60, 200)


def drawn(size: tuple[int, int]) -> Image.Image:
    """Red, with a green top left corner, so that all rotations differ."""
    image = Image.new("RGB", size, RED)
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 3, size[1] // 3), GREEN)
    return image


def saved(image: Image.Image, format_: str, path: Path, **options: object) -> Path:
    image.save(path, format_, **options)
    return path


def made(source: Path, folder: Path) -> Decoded:
    data = source.read_bytes()
    check(data)
    return make_variants(picture_only(data), folder)


def refusal(source: Path, folder: Path) -> str:
    with pytest.raises(NotShowableError) as caught:
        made(source, folder)
    return caught.value.reason


def opened(folder: Path, variant: str) -> Image.Image:
    with Image.open(folder / FILES[variant]) as image:
        image.load()
        return image


def test_a_decoder_starts_without_the_library_of_the_contracts() -> None:
    subprocess.run([sys.executable, "-c", NO_PYDANTIC], check=True)


def near(pixel: object, colour: tuple[int, int, int], within: int = 12) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(a - b) <= within for a, b in zip(pixel, colour, strict=True))


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_variants_have_their_sizes_and_formats(format_: str, tmp_path: Path) -> None:
    source = saved(drawn((2400, 1200)), format_, tmp_path / "source")
    picture = made(source, tmp_path)
    assert (picture.width, picture.height) == (2400, 1200)
    sizes = {name: opened(tmp_path, name).size for name in FILES}
    assert sizes == {
        "thumbnail": (150, 150),
        "small": (320, 160),
        "medium": (640, 320),
        "large": (1080, 540),
        "original": (2048, 1024),
    }
    assert {opened(tmp_path, name).format for name in ("thumbnail", *FIT_PX)} == {"WEBP"}
    assert opened(tmp_path, "original").format == "JPEG"
    assert near(opened(tmp_path, "small").getpixel((10, 10)), GREEN)
    assert len(picture.placeholder) == 28


def test_small_pictures_are_not_enlarged(tmp_path: Path) -> None:
    made(saved(drawn((200, 90)), "PNG", tmp_path / "source"), tmp_path)
    assert {opened(tmp_path, name).size for name in (*FIT_PX, "original")} == {(200, 90)}
    assert opened(tmp_path, "thumbnail").size == (150, 150)


def test_one_pixel_wide_is_a_picture(tmp_path: Path) -> None:
    made(saved(Image.new("L", (1, 9000), 90), "PNG", tmp_path / "source"), tmp_path)
    assert opened(tmp_path, "small").size == (1, 320)


@pytest.mark.parametrize(("orientation", "corner"), [(1, (2, 2)), (3, (-3, -3)), (6, (-3, 2)), (8, (2, -3))])
def test_pictures_are_turned_upright_and_lose_all_metadata(
    orientation: int, corner: tuple[int, int], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Secret Camera"
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.0)
    source = saved(drawn((600, 300)), "JPEG", tmp_path / "source", exif=exif, comment=b"secret comment")
    picture = made(source, tmp_path)
    sideways = orientation in (6, 8)
    assert (picture.width, picture.height) == ((300, 600) if sideways else (600, 300))
    for name in FILES:
        image = opened(tmp_path, name)
        assert not dict(image.getexif())
        assert not {"exif", "icc_profile", "comment", "xmp"} & set(image.info)
        assert b"ecret" not in (tmp_path / FILES[name]).read_bytes()
    small = opened(tmp_path, "small")
    assert near(small.getpixel((corner[0] % small.width, corner[1] % small.height)), GREEN)


def test_transparency_becomes_white(tmp_path: Path) -> None:
    made(saved(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG", tmp_path / "source"), tmp_path)
    assert near(opened(tmp_path, "small").getpixel((5, 5)), (255, 255, 255), 2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "CMYK"])
def test_every_mode_of_pixels_is_shown(mode: str, tmp_path: Path) -> None:
    image = Image.new("I;16", (80, 60), 65535) if mode == "I;16" else Image.new("L", (80, 60), 255).convert(mode)
    format_ = "JPEG" if mode == "CMYK" else "PNG"
    made(saved(image, format_, tmp_path / "source"), tmp_path)
    assert near(opened(tmp_path, "original").getpixel((40, 30)), (255, 255, 255), 3)


def test_profiles_are_applied_and_bad_ones_ignored(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for number, profile in enumerate((lab, b"no profile at all" * 20)):
        source = saved(drawn((90, 90)), "PNG", tmp_path / f"{number}", icc_profile=profile)
        made(source, tmp_path)
        assert near(opened(tmp_path, "original").getpixel((80, 80)), RED)


def test_an_animation_shows_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (120, 80), colour) for colour in (BLUE, RED, GREEN)]
    frames[0].save(tmp_path / "source", "WEBP", save_all=True, append_images=frames[1:], duration=50)
    made(tmp_path / "source", tmp_path)
    small = opened(tmp_path, "small")
    assert getattr(small, "n_frames", 1) == 1
    assert near(small.getpixel((60, 40)), BLUE)


def test_an_animation_does_not_show_what_browsers_hide(tmp_path: Path) -> None:
    """What comes before the first frame of an APNG is for viewers that know no animations."""
    hidden, *frames = (Image.new("RGB", (120, 80), colour) for colour in (RED, BLUE, GREEN))
    hidden.save(tmp_path / "source", "PNG", save_all=True, append_images=frames, default_image=True)
    made(tmp_path / "source", tmp_path)
    assert near(opened(tmp_path, "small").getpixel((60, 40)), BLUE)


def test_broken_frames_do_not_matter_where_the_picture_is_the_first(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (120, 80), colour) for colour in (BLUE, RED)]
    frames[0].save(tmp_path / "source", "PNG", save_all=True, append_images=frames[1:])
    data = (tmp_path / "source").read_bytes()
    (tmp_path / "source").write_bytes(data.replace(b"fcTL\0\0\0\0", b"fcTL\0\0\0\7", 1))
    made(tmp_path / "source", tmp_path)
    assert near(opened(tmp_path, "small").getpixel((60, 40)), BLUE)


SRGB_PLACES = (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)
P3_PLACES = (31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000)
LINEAR, SRGB_SAID = (b"gAMA", (100_000).to_bytes(4)), (b"sRGB", b"\0")
P3_SAID = (b"cHRM", struct.pack(">8I", *P3_PLACES))
P3_CODED = (b"cICP", bytes([12, 13, 0, 1]))
P3_PROFILE = png_profile(dict([P3_SAID]), None, is_grey=False)
assert P3_PROFILE
GIVEN = (b"iCCP", b"profile\0\0" + zlib.compress(P3_PROFILE))
ORANGE, ORANGE_OF_P3, ORANGE_OF_LIGHT = (200, 120, 60), (213, 115, 42), (229, 182, 133)
"""As it is; of Display P3; of linear light. The latter two by CSS Color 4, sections 10.2 and 10.4."""


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ([], ORANGE),
        ([LINEAR], ORANGE_OF_LIGHT),
        ([LINEAR, SRGB_SAID], ORANGE),
        ([(b"cHRM", struct.pack(">8I", *SRGB_PLACES))], ORANGE),
        ([P3_SAID], ORANGE_OF_P3),
        ([P3_SAID, SRGB_SAID], ORANGE),
        ([P3_CODED], ORANGE_OF_P3),
        ([P3_CODED, LINEAR, SRGB_SAID], ORANGE_OF_P3),
        ([GIVEN, LINEAR], ORANGE_OF_P3),
        ([(b"cICP", bytes([9, 16, 0, 1])), SRGB_SAID], ORANGE),  # HDR
        ([(b"gAMA", b"\0\0\0\0")], ORANGE),
        ([(b"gAMA", b"\1")], ORANGE),
        ([(b"cHRM", bytes(32))], ORANGE),
        ([(b"cHRM", b"\xff" * 32)], ORANGE),
        ([(b"cHRM", struct.pack(">8I", *[31_270, 32_900] * 4))], ORANGE),
    ],
)
def test_what_a_png_says_of_its_colours_is_followed(
    said: list[tuple[bytes, bytes]], shown: tuple[int, int, int], tmp_path: Path
) -> None:
    for mode in ("RGB", "RGBA", "P"):
        buffer = io.BytesIO()
        Image.new("RGB", (60, 40), ORANGE).convert(mode, palette=Image.Palette.ADAPTIVE).save(buffer, "PNG")
        head, rest = buffer.getvalue()[:33], buffer.getvalue()[33:]
        (tmp_path / "source").write_bytes(head + b"".join(png_chunk(*one) for one in said) + rest)
        made(tmp_path / "source", tmp_path)
        assert near(opened(tmp_path, "original").getpixel((30, 20)), shown, 4)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_linear_grey_is_made_lighter(mode: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    grey = Image.new("I;16", (60, 40), 64 * 257) if mode == "I;16" else Image.new("L", (60, 40), 64).convert(mode)
    grey.save(buffer, "PNG")
    (tmp_path / "source").write_bytes(buffer.getvalue()[:33] + png_chunk(*LINEAR) + buffer.getvalue()[33:])
    made(tmp_path / "source", tmp_path)
    assert near(opened(tmp_path, "original").getpixel((30, 20)), (137, 137, 137), 2)


@pytest.mark.parametrize("size", [(30_000, 30_000), (8_000, 7_000), (12_000, 12_000)])
def test_bombs_are_refused_by_their_header(size: tuple[int, int], tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(png(*size))
    assert refusal(source, tmp_path) == "too_many_pixels"


def test_a_huge_webp_is_refused(tmp_path: Path) -> None:
    header = (16_382).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + (10).to_bytes(4, "little") + b"\0\0\0\0" + header
    (tmp_path / "source").write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)
    assert refusal(tmp_path / "source", tmp_path) in {"too_many_pixels", "corrupt", "not_an_image"}


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_truncated_files_are_corrupt(format_: str, tmp_path: Path) -> None:
    noise = Image.effect_noise((400, 400), 90).convert("RGB")
    source = saved(noise, format_, tmp_path / "source")
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    assert refusal(source, tmp_path) in {"corrupt", "not_an_image"}


@pytest.mark.parametrize(
    "content", [b"<html><script>alert(1)</script></html>", b"", b"\xff\xd8\xff", b"GIF89a\1\0\1\0"]
)
def test_what_is_no_picture_is_refused(content: bytes, tmp_path: Path) -> None:
    source = tmp_path / "picture.jpg"
    source.write_bytes(content)
    assert refusal(source, tmp_path) in {"not_an_image", "corrupt"}


@pytest.mark.parametrize("format_", ["GIF", "BMP", "TIFF", "PPM"])
def test_other_formats_are_no_picture_here(format_: str, tmp_path: Path) -> None:
    source = saved(drawn((40, 40)), format_, tmp_path / "source")
    assert refusal(source, tmp_path) == "not_an_image"


def test_the_dominant_colour_is_the_most_frequent() -> None:
    assert dominant_color(drawn((320, 320))) == "#c81e1e"


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    drawn((700, 500)).save(buffer, "PNG")
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        folder.mkdir()
        (folder / "source").write_bytes(buffer.getvalue())
        made(folder / "source", folder)
    assert all((first / file).read_bytes() == (second / file).read_bytes() for file in FILES.values())


def with_chunk(kind: bytes, content: bytes, *, behind: bool = False) -> bytes:
    """An ordinary PNG with one more chunk, before its pixels or behind them."""
    buffer = io.BytesIO()
    drawn((90, 60)).save(buffer, "PNG")
    at = buffer.getvalue().index(b"IEND" if behind else b"IDAT") - 4
    return buffer.getvalue()[:at] + png_chunk(kind, content) + buffer.getvalue()[at:]


LONG = zlib.compress(b"x" * 1_500_000)
UNREADABLE = b"no camera wrote this" * 3
BESIDE_THE_PICTURE = {
    "a long text": with_chunk(b"iTXt", b"history\0\1\0\0\0" + LONG),
    "a long text behind the pixels": with_chunk(b"zTXt", b"history\0\0" + LONG, behind=True),
    "a long profile": with_chunk(b"iCCP", b"profile\0\0" + LONG),
    "a broken profile": with_chunk(b"iCCP", b"profile\0\0not compressed"),
    "no camera data": with_chunk(b"eXIf", UNREADABLE),
    "broken camera data": with_chunk(b"eXIf", b"II*\0" + UNREADABLE),
    "camera data that are not hexadecimal": with_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 99\nzz not hex"),
}


@pytest.mark.parametrize("data", BESIDE_THE_PICTURE.values(), ids=BESIDE_THE_PICTURE.keys())
def test_a_png_is_not_refused_for_what_is_no_part_of_the_picture(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(data)
    assert made(tmp_path / "source", tmp_path).width == 90
    assert near(opened(tmp_path, "small").getpixel((80, 50)), RED)


@pytest.mark.parametrize(
    "exif", [UNREADABLE, b"Exif\0\0" + UNREADABLE, b"II*\0" + UNREADABLE, b"MM\0*\0\0\0\x08\xff\xff"]
)
@pytest.mark.parametrize("format_", ["JPEG", "WEBP"])
def test_camera_data_that_can_not_be_read_do_not_matter(format_: str, exif: bytes, tmp_path: Path) -> None:
    source = saved(drawn((90, 60)), format_, tmp_path / "source", exif=exif, dpi=(72, 72), xmp=UNREADABLE)
    assert made(source, tmp_path).width == 90
    assert near(opened(tmp_path, "original").getpixel((5, 5)), GREEN)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_what_makes_the_picture_stays(format_: str, tmp_path: Path) -> None:
    """The profile, and how it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = saved(drawn((90, 60)), format_, tmp_path / "source", exif=exif, icc_profile=profile)
    with Image.open(io.BytesIO(picture_only(source.read_bytes()))) as image:
        image.load()
        assert image.info["icc_profile"] == profile
    picture = made(source, tmp_path)
    assert (picture.width, picture.height) == (60, 90)
