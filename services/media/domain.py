"""Uploads and media: what they are, and what may follow what. No I/O."""

import hashlib
import hmac
from dataclasses import dataclass
from enum import IntEnum

from libs.common.contracts.media import VARIANTS, MediaDocument
from libs.common.ids import id_time_ms, parse_id

MAX_IMAGE_BYTES = 10 * 1024 * 1024
UPLOAD_TTL_S = 86_400  # an upload that is not completed by then is forgotten
SNIFF_BYTES = 16  # the longest signature known here ends at byte 12
IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")
_NAMES = {f"{name}.webp": "image/webp" for name in VARIANTS if name != "original"} | {"original.jpg": "image/jpeg"}
_PREFIX_CHARS = 2


class Status(IntEnum):
    """Where a piece of media stands. A greater one wins over a smaller one for ever: ready is final."""

    PROCESSING = 1
    FAILED = 2
    READY = 3


@dataclass(frozen=True, slots=True)
class Upload:
    """Announced bytes; `upload_id` becomes the media id."""

    upload_id: int
    owner_id: int
    content_type: str
    file_size: int
    purpose: str

    @property
    def source_key(self) -> str:
        """Where the bytes lie in the object store."""
        return source_key(self.upload_id)


@dataclass(frozen=True, slots=True)
class StoredMedia:
    """A completed upload."""

    media_id: int
    owner_id: int
    status: Status
    reason: str | None = None
    document: MediaDocument | None = None

    def visible_to(self, user_id: int) -> bool:
        """What is not ready is its owner's affair alone."""
        return self.status is Status.READY or self.owner_id == user_id

    @property
    def written_at_us(self) -> int:
        """The write timestamp of this state: it grows with the status and with nothing else.

        So the store keeps the greatest status whatever order, and however often, states are written in.
        """
        return id_time_ms(self.media_id) * 1000 + self.status


def source_key(media_id: int) -> str:
    """Where an upload's bytes lie in the object store."""
    return f"uploads/{media_id}"


def sniff(head: bytes) -> str | None:
    """The content type that the first bytes show, or None for what can't be shown."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None


def variant_key(prefix: str, user_id: str, media_id: str, name: str) -> tuple[str, str] | None:
    """Object key and content type of a public path; None for a path that no variant can have."""
    is_prefix = len(prefix) == _PREFIX_CHARS and all(char in "0123456789abcdef" for char in prefix)
    if not is_prefix or name not in _NAMES or parse_id(user_id) is None or parse_id(media_id) is None:
        return None
    return f"{prefix}/{user_id}/{media_id}/{name}", _NAMES[name]


class UploadSigner:
    """Signs upload URLs: whoever holds one may put these bytes, and only until it expires."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"feedmill media upload urls", hashlib.sha256)

    def sign(self, upload: Upload, expires: int) -> str:
        """The signature over id, type, size and expiry."""
        text = f"{upload.upload_id}\n{upload.content_type}\n{upload.file_size}\n{expires}"
        return hmac.digest(self._key, text.encode(), hashlib.sha256).hex()

    def holds(self, upload: Upload, expires: int, signature: str, now_s: float) -> bool:
        """Whether the URL was made here and still works."""
        genuine = hmac.compare_digest(self.sign(upload, expires).encode(), signature.encode())
        return genuine and now_s < expires
