"""Files that are small to send and were costly to decode, made from ordinary ones."""

import io
import struct
import zlib
from collections.abc import Iterable

from PIL import Image

RESERVED_MARKER = b"\xff\x02"
COMMENT = b"\xff\xfe\0\2"


def jpeg(mode: str = "L", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (64, 64), 128).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def claiming(jpeg_data: bytes, width: int, height: int) -> bytes:
    """Return the JPEG with another size in its (baseline or progressive) frame header."""
    at = max(jpeg_data.find(b"\xff\xc0"), jpeg_data.find(b"\xff\xc2")) + 5
    return jpeg_data[:at] + struct.pack(">HH", height, width) + jpeg_data[at + 4 :]


def rescanned(jpeg_data: bytes, scans: int, *, hidden_behind: bytes = b"") -> bytes:
    """Return the JPEG with `scans` more copies of its last scan; `hidden_behind` goes before them."""
    last = jpeg_data[jpeg_data.rindex(b"\xff\xda") : -2]
    return jpeg_data[:-2] + hidden_behind + last * scans + jpeg_data[-2:]


def png_chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, between: Iterable[bytes] = (), pixels: bytes = bytes(64)) -> bytes:
    """An RGB one; `pixels` are before compression."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(pixels)) + png_chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(between) + body


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_canvas(width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8X", b"\2\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def webp_lossless_header(width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14)


def webp_lossy_header(width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
