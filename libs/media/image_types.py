"""Image types, by file signature and by the media type that clients declare."""

HEAD_BYTES = 16  # the longest signature here ends at byte 12
ACCEPTED = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WebP"}
_OTHER_NAMES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/apng": "image/png",
    "image/x-png": "image/png",
}
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\x01\0", "ICO"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML"),
    (b"<!DOCTYPE", "HTML"),
    (b"<html", "HTML"),
)
_BRANDS = {  # bytes 8 to 12 of ISO media files
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    b"qt  ": "QuickTime",
}


def canonical_type(declared: str) -> str:
    """The registered name of a media type, in lower case and without parameters."""
    name = declared.partition(";")[0].strip().lower()
    return _OTHER_NAMES.get(name, name)


def format_of(head: bytes) -> str | None:
    """The format of a file by its first bytes, such as `JPEG`; None if it is unknown."""
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "MP4")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    return next((name for signature, name in _SIGNATURES if head.startswith(signature)), None)


def accepted_type(head: bytes) -> str | None:
    """The media type of an accepted image; None for all other files."""
    found = format_of(head)
    return next((media_type for media_type, name in ACCEPTED.items() if name == found), None)


def refusal_of(head: bytes) -> str:
    """Return a sentence that names the type of a refused file and the accepted types. It checks nothing."""
    return f"The type of the file is {format_of(head) or 'unknown'}. Accepted types are {', '.join(ACCEPTED.values())}."
