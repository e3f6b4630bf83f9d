"""Uploads and media: what they are, and what may follow what. No I/O."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from libs.common.core.ids import id_time_ms, parse_id
from libs.contracts.media import VARIANTS, MediaDocument
from libs.media.paths import SECRET_BYTES

MAX_IMAGE_BYTES = 10 * 1024 * 1024
UPLOAD_TTL_S = 86_400  # an upload that is not completed by then is forgotten
UPLOADS = "uploads"  # where uploaded files lie in the object store
_NAMES = {f"{name}.webp": "image/webp" for name in VARIANTS if name != "original"} | {"original.jpg": "image/jpeg"}
_PREFIX = re.compile("[0-9a-f]{2}")
_SECRET = re.compile(f"[0-9a-f]{{{2 * SECRET_BYTES}}}")


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
    secret: str | None = None
    """Of the variants' paths; None for one that was announced before there were secrets."""

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
    deleted_at: datetime | None = None

    @property
    def written_at_us(self) -> int:
        """The write timestamp of this state: it grows with the status and with nothing else.

        So the store keeps the greatest status whatever order, and however often, states are written in.
        """
        return id_time_ms(self.media_id) * 1000 + self.status


def source_key(media_id: int) -> str:
    """Where an upload's bytes lie in the object store."""
    return f"{UPLOADS}/{media_id}"


def variant_type(prefix: str, user_id: str, media_id: str, secret: str, name: str) -> str | None:
    """The content type of a public path; None for a path that no variant can have."""
    is_hex = _PREFIX.fullmatch(prefix) and _SECRET.fullmatch(secret)
    if not is_hex or parse_id(user_id) is None or parse_id(media_id) is None:
        return None
    return _NAMES.get(name)


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
