"""Checks the structure of a picture file, to limit the cost of decoding before a decoder reads it.

It takes time linear in the number of bytes. Truncated and damaged files are left to the decoder.
"""

import re
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from libs.contracts.failures import FailureReason
from libs.media.image_types import format_of
from workers.media.decoding.png_color import png_profile

MAX_PIXELS = 50_000_000  # enough for phone cameras with 48 megapixels; takes 200 MB of memory
MAX_PARTS = 20_000  # enough for 10 MB of PNG in chunks of 512 bytes; encoders use 8 KB or more
MAX_SCANS = 100  # JPEG encoders write about 10 scans, libjpeg 18 for CMYK; each costs time to set up
MAX_SCANNED_SAMPLES = 24 * MAX_PIXELS  # enough for libjpeg's 18 scans of CMYK; about 1 ns per sample
DEFLATE_RATIO = 1032  # the largest expansion of deflate


class NotShowableError(Exception):
    """The file can't be shown, and retrying does not help. Clients see `reason`; `detail` is for the log."""

    def __init__(self, reason: FailureReason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Part(NamedTuple):
    """The part `data[start:end]` of a file: a JPEG segment (SOS includes its scan), or a chunk of PNG or WebP."""

    kind: bytes
    start: int
    body: int
    end: int


def check(data: bytes) -> int:
    """The number of pixels that a decoder has to produce; 0 if the headers don't contain it.

    Raises:
        NotShowableError: not_an_image, too_many_pixels, too_complex, or corrupt.
    """
    match format_of(data):
        case "JPEG":
            pixels = _jpeg(data)
        case "PNG":
            pixels = _png(data)
        case "WebP":
            pixels = _webp(data)
        case _:
            raise NotShowableError(FailureReason.NOT_AN_IMAGE, "no signature of JPEG, PNG or WebP")
    if pixels > MAX_PIXELS:
        raise NotShowableError(FailureReason.TOO_MANY_PIXELS, f"{pixels} pixels")
    return pixels


MAX_PROFILE_BYTES = 1 << 20  # Pillow refuses PNG files with a larger profile
_TIFF = (b"II*\0", b"MM\0*")
_PNG_KEPT = frozenset(b"IHDR PLTE tRNS IDAT IEND".split())
_PNG_FRAMES = frozenset(b"acTL fcTL fdAT".split())
_PNG_COLOURS = frozenset(b"cICP iCCP sRGB gAMA cHRM".split())
_GREYS = (b"\0", b"\4")  # colour types of IHDR
_APP0, _APP1, _APP2, _APP14, _APP15, _COM = (bytes([code]) for code in (0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE))
_EXIF_FLAG, _XMP_FLAG = 0x08, 0x04  # in the VP8X chunk


def picture_only(data: bytes) -> bytes:
    """The file reduced to the parts that define the picture: pixels, colours and orientation.

    Decoders refuse some files because of damaged texts, profiles or camera data, which no variant contains anyway.
    """
    found = format_of(data)
    if found == "JPEG":
        return b"".join(data[part.start : part.end] for part in segments(data) if _makes_jpeg(data, part))
    if found == "PNG":
        return data[:8] + b"".join(_png_parts(data))
    parts = [part for part in riff_chunks(data) if _makes_webp(data, part)]
    body = b"".join(data[part.start : part.end] for part in parts)
    if parts and parts[0].kind == b"VP8X":
        has_exif = any(part.kind == b"EXIF" for part in parts)
        flags = body[8] & ~_XMP_FLAG & (0xFF if has_exif else ~_EXIF_FLAG)
        body = body[:8] + bytes([flags]) + body[9:]
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def _makes_jpeg(data: bytes, part: Part) -> bool:
    content = data[part.body + 2 : part.end]
    if part.kind == _APP1:
        return content.startswith(b"Exif\0\0") and content[6:10] in _TIFF
    if part.kind == _APP2:
        return content.startswith(b"ICC_PROFILE\0")
    return part.kind in (_APP0, _APP14) or not (_APP0 < part.kind <= _APP15 or part.kind == _COM)


def _png_parts(data: bytes) -> Iterator[bytes]:
    """The parts to keep. Frames stay only if the first one replaces an image for viewers without animation."""
    parts = [(part, data[part.body : part.end - 4]) for part in chunks(data)]
    kinds = [part.kind for part, _ in parts]
    pixels_at = kinds.index(b"IDAT") if b"IDAT" in kinds else 0
    is_hidden = b"acTL" in kinds[:pixels_at] and b"fcTL" in kinds[pixels_at:] and b"fcTL" not in kinds[:pixels_at]
    kept = _PNG_KEPT | (_PNG_FRAMES if is_hidden else frozenset())
    head = next((content for part, content in parts if part.kind == b"IHDR"), b"")
    colours = {part.kind: content for part, content in reversed(parts) if part.kind in _PNG_COLOURS}
    profile = png_profile(colours, _inflated(colours.get(b"iCCP", b"")), is_grey=head[9:10] in _GREYS)
    profile_chunk = b"" if profile is None else _png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(profile))
    for part, content in parts:
        if part.kind in kept or (part.kind == b"eXIf" and content[:4] in _TIFF):
            yield data[part.start : part.end]
        if part.kind == b"IHDR":
            yield profile_chunk
            profile_chunk = b""  # only once, even if there are several headers


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def _inflated(chunk: bytes) -> bytes | None:
    """The profile of an iCCP chunk; None if it can't be read."""
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(chunk.partition(b"\0")[2][1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if inflate.eof else None


def _makes_webp(data: bytes, part: Part) -> bool:
    if part.kind == b"EXIF":
        return data[part.body : part.end].removeprefix(b"Exif\0\0")[:4] in _TIFF
    return part.kind != b"XMP "


_SOF = {bytes([code]) for code in range(0xC0, 0xD0)} - {b"\xc4", b"\xc8", b"\xcc"}
_RARE_SOF = {bytes([code]) for code in (0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF)}
"""Hierarchical, and lossless with arithmetic coding: our decoders do not support them."""
_COMPONENTS = (b"", b"\1", b"\3", b"\4")
_SOS, _EOI = b"\xda", b"\xd9"
_BARE = {bytes([code]) for code in (*range(0x01, 0xC0), *range(0xD0, 0xDA))}
"""Markers without a length. By the standard the reserved ones below C0 have one, but libjpeg ignores it.

It looks for the next marker, so their content must not be skipped here either."""
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def segments(data: bytes) -> Iterator[Part]:
    """The segments of a JPEG, up to the end of the first picture, as libjpeg reads them."""
    at = 0
    while found := _MARKER.search(data, at):
        kind, body = found[1], found.end()
        at = body
        if kind not in _BARE:
            at += int.from_bytes(data[body : body + 2])
        if kind == _SOS:
            scan_end = _SCAN_END.search(data, at)
            at = scan_end.start() if scan_end else len(data)
        yield Part(kind, found.start(), body, at)
        if kind == _EOI:
            return


def _jpeg(data: bytes) -> int:
    pixels = scans = 0
    samples = 0.0
    shares: dict[int, float] = {}
    for part in _counted(segments(data)):
        if part.kind in _SOF:
            header = data[part.body : part.end]
            if part.kind in _RARE_SOF or header[2:3] not in (b"", b"\x08") or header[7:8] not in _COMPONENTS:
                raise NotShowableError(FailureReason.UNSUPPORTED_ENCODING, f"JPEG {part.kind.hex()} {header[:8].hex()}")
            pixels, shares = _frame(header)
        elif part.kind == _SOS:
            scans += 1
            count = data[part.body + 2] if part.body + 2 < len(data) else 0
            components = data[part.body + 3 : part.body + 3 + 2 * count : 2]
            samples += pixels * sum(shares.get(component, 1.0) for component in components)
            if pixels <= MAX_PIXELS and (scans > MAX_SCANS or samples > MAX_SCANNED_SAMPLES):
                raise NotShowableError(FailureReason.TOO_COMPLEX, f"{scans} scans or more of {pixels} pixels")
    return pixels


def _frame(header: bytes) -> tuple[int, dict[int, float]]:
    """The number of pixels, and by component id the number of samples per pixel."""
    height, width = int.from_bytes(header[3:5]), int.from_bytes(header[5:7])
    sampling = {header[at]: (header[at + 1] >> 4) * (header[at + 1] & 15) for at in range(8, len(header) - 2, 3)}
    most = max(sampling.values(), default=0) or 1
    return width * height, {component: count / most for component, count in sampling.items()}


_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # samples per pixel, by PNG colour type


def chunks(data: bytes) -> Iterator[Part]:
    """The chunks of a PNG."""
    at = 8
    while at + 8 <= len(data):
        kind, body = data[at + 4 : at + 8], at + 8
        end = body + int.from_bytes(data[at : at + 4]) + 4
        yield Part(kind, at, body, end)
        if kind == b"IEND":
            return
        at = end


def _png(data: bytes) -> int:
    width = height = row_bits = packed = 0
    for part in _counted(chunks(data)):
        if part.kind == b"IHDR":
            width, height = (int.from_bytes(data[part.body + at : part.body + at + 4]) for at in (0, 4))
            depth, colour = data[part.body + 8 : part.body + 10].ljust(2, b"\0")
            row_bits = width * depth * _SAMPLES.get(colour, 1)
        elif part.kind in (b"IDAT", b"fdAT"):
            packed += min(part.end, len(data)) - part.body
    pixels = width * height
    # Refuse a header that claims more pixels than the data can have, before memory is allocated for them.
    if pixels <= MAX_PIXELS and packed * DEFLATE_RATIO < height * row_bits // 8:
        raise NotShowableError(FailureReason.CORRUPT, f"{packed} bytes can't hold {width} x {height} pixels")
    return pixels


def riff_chunks(data: bytes) -> Iterator[Part]:
    """The chunks of a WebP."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        yield Part(data[at : at + 4], at, at + 8, end)
        at = end


def _webp(data: bytes) -> int:
    pixels = 0
    for part in _counted(riff_chunks(data)):
        header = data[part.body : part.body + 10]
        match part.kind:
            case b"VP8X":
                width, height = (int.from_bytes(header[at : at + 3], "little") + 1 for at in (4, 7))
            case b"VP8 ":
                width, height = (int.from_bytes(header[at : at + 2], "little") & 0x3FFF for at in (6, 8))
            case b"VP8L":
                bits = int.from_bytes(header[1:5], "little")
                width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
            case _:
                continue
        pixels = max(pixels, width * height)
    return pixels


def _counted(parts: Iterator[Part]) -> Iterator[Part]:
    yield from islice(parts, MAX_PARTS)
    if next(parts, None) is not None:
        raise NotShowableError(FailureReason.TOO_COMPLEX, f"more than {MAX_PARTS} parts")
