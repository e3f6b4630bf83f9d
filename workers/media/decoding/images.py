"""Decoding and encoding: makes upright sRGB variants without metadata. Run it in a child process: files are hostile."""

import io
import warnings
from collections import Counter
from pathlib import Path

from PIL import (
    Image,
    ImageCms,
    ImageOps,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
    _imagingcms,
    _webp,
)

from libs.contracts.failures import FailureReason
from workers.media.decoding import blurhash
from workers.media.decoding.structure import MAX_PIXELS, NotShowableError
from workers.media.domain.picture import Decoded

# Pillow imports these modules late, when a broken installation would look like a broken file.
_PRELOADED = (JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin, _imagingcms, _webp)
FORMATS = ("JPEG", "PNG", "WEBP")
THUMBNAIL_PX = 150
FIT_PX = {"small": 320, "medium": 640, "large": 1080}
ORIGINAL_PX = 2048
WEBP_QUALITY = 80
JPEG_QUALITY = 85
FULL_COLOUR_PX = 320  # colour subsampling would blur small pixel art, and saves little there
_SAMPLE_PX = 32  # enough for the few frequencies of a placeholder and for a dominant colour
_COLOR_BITS = 4  # colours that agree in this many leading bits count as one
_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {_UPRIGHT[orientation] for orientation in (5, 6, 7, 8)}
_WHITE = (255, 255, 255)


def make_variants(data: bytes, folder: Path) -> Decoded:
    """Write all variants of the file `data`, which must have passed `structure.check`, into `folder`.

    Raises:
        NotShowableError: the picture is too large or damaged.
        OSError: a file can't be written.
        MemoryError: the picture needs more memory than the limit.
    """
    with _opened(data) as image:
        width, height = image.size
        base, turn = _decoded(image)
    if turn in _SIDEWAYS:
        width, height = height, width
    subsampling = "4:4:4" if max(base.size) <= FULL_COLOUR_PX else "4:2:0"
    base.save(folder / "original.jpg", "JPEG", quality=JPEG_QUALITY, optimize=True, subsampling=subsampling)
    for name, side in FIT_PX.items():
        _within(base, side).save(folder / f"{name}.webp", "WEBP", quality=WEBP_QUALITY)
    square = ImageOps.fit(base, (THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    square.save(folder / "thumbnail.webp", "WEBP", quality=WEBP_QUALITY)
    return Decoded(width, height, placeholder(base), dominant_color(base))


def _opened(data: bytes) -> Image.Image:
    """The image, of which only the header is read and checked."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (MemoryError, ImportError):
        raise
    except Image.DecompressionBombError as error:
        raise NotShowableError(FailureReason.TOO_MANY_PIXELS, str(error)) from error
    except Exception as error:  # the type is known, so a file that can't be parsed is damaged
        raise NotShowableError(FailureReason.CORRUPT, repr(error)) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise NotShowableError(FailureReason.TOO_MANY_PIXELS, f"{image.width} x {image.height}")
    return image


def _decoded(image: Image.Image) -> tuple[Image.Image, Image.Transpose | None]:
    """The first frame, at most `ORIGINAL_PX` large, upright, in sRGB on white, without metadata; and its rotation."""
    try:
        # A large JPEG is decoded at a lower resolution that suffices for all variants, in less memory and time.
        image.draft(None, (ORIGINAL_PX, ORIGINAL_PX))
        if image.info.get("default_image"):
            image.seek(1)  # the first frame of an APNG; the image before it is only for viewers without animation
        image.load()
        turn = _turn(image)
        pixels = _flattened(_within(_resizable(image), ORIGINAL_PX), image.info.get("icc_profile"))
        upright = pixels if turn is None else pixels.transpose(turn)
        return Image.frombytes("RGB", upright.size, upright.tobytes()), turn
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # decoders raise many types of errors for damaged files, and no file is written here
        raise NotShowableError(FailureReason.CORRUPT, repr(error)) from error


def _turn(image: Image.Image) -> Image.Transpose | None:
    """The rotation that makes the image upright; None if there is none or the EXIF data can't be read."""
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:
        return None


def _resizable(image: Image.Image) -> Image.Image:
    """The image in a mode whose values can be averaged."""
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value / 257).convert("L")
    if image.mode in ("P", "PA") or "transparency" in image.info:
        return image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    return image.convert("L") if image.mode == "1" else image


def _within(image: Image.Image, side: int) -> Image.Image:
    """The image scaled down to fit into a square; never enlarged."""
    scale = min(1.0, side / max(image.size))
    if scale == 1.0:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _flattened(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode not in ("LA", "RGBA"):
        return _to_srgb(image, profile)
    page = Image.new("RGB", image.size, _WHITE)
    page.paste(_to_srgb(image.convert(image.mode[:-1]), profile), mask=image.getchannel("A"))
    return page


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image converted to sRGB. A profile that can't be used is ignored, as in browsers."""
    if profile and image.mode in ("RGB", "CMYK", "L"):
        try:
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def _sample(image: Image.Image) -> list[list[tuple[int, int, int]]]:
    small = image.resize((_SAMPLE_PX, _SAMPLE_PX), Image.Resampling.BOX)
    raw = small.tobytes()
    pixels = [(raw[at], raw[at + 1], raw[at + 2]) for at in range(0, len(raw), 3)]
    return [pixels[row : row + _SAMPLE_PX] for row in range(0, len(pixels), _SAMPLE_PX)]


def placeholder(image: Image.Image) -> str:
    """The BlurHash, with more components along the longer side."""
    x_components, y_components = (4, 3) if image.width >= image.height else (3, 4)
    return blurhash.encode(_sample(image), x_components, y_components)


def dominant_color(image: Image.Image) -> str:
    """The mean of the most frequent group of similar colours, as #rrggbb."""
    pixels = [pixel for row in _sample(image) for pixel in row]
    groups = Counter(tuple(value >> 8 - _COLOR_BITS for value in pixel) for pixel in pixels)
    winner = min(groups, key=lambda group: (-groups[group], group))
    members = [pixel for pixel in pixels if tuple(value >> 8 - _COLOR_BITS for value in pixel) == winner]
    red, green, blue = (round(sum(pixel[c] for pixel in members) / len(members)) for c in range(3))
    return f"#{red:02x}{green:02x}{blue:02x}"
