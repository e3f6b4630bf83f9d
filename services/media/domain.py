"""Uploads and media. No I/O."""

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
UPLOAD_TTL_S = 86_400  # an upload that is not completed by then is deleted
UPLOADS = "uploads"  # folder of uploaded files in the object store
_NAMES = {f"{name}.webp": "image/webp" for name in VARIANTS if name != "original"} | {"original.jpg": "image/jpeg"}
_PREFIX = re.compile("[0-9a-f]{2}")
_SECRET = re.compile(f"[0-9a-f]{{{2 * SECRET_BYTES}}}")


class ProcessingStatus(IntEnum):
    """Processing status of media. A higher status replaces a lower one, never the reverse: READY is final."""

    PROCESSING = 1
    FAILED = 2
    READY = 3


@dataclass(frozen=True, slots=True)
class Upload:
    """An announced upload. `upload_id` becomes the media id."""

    upload_id: int
    owner_id: int
    content_type: str
    file_size: int
    secret: str | None = None
    """The secret part of the paths of variants. None for an upload that is older than these secrets."""

    @property
    def source_key(self) -> str:
        return source_key(self.upload_id)


@dataclass(frozen=True, slots=True)
class StoredMedia:
    """A completed upload."""

    media_id: int
    owner_id: int
    status: ProcessingStatus
    reason: str | None = None
    document: MediaDocument | None = None
    deleted_at: datetime | None = None

    @property
    def written_at_us(self) -> int:
        """The write timestamp of this state, which grows only with the status.

        So the store keeps the highest status, in whichever order and however often states are written.
        """
        return id_time_ms(self.media_id) * 1000 + self.status


@dataclass(frozen=True, slots=True)
class MediaUse:
    """A post, or with the id 0 the owner's profile, shows the media."""

    media_id: int
    owner_id: int
    post_id: int


def source_key(media_id: int) -> str:
    """Return the key of the uploaded file in the object store."""
    return f"{UPLOADS}/{media_id}"


def variant_type(prefix: str, user_id: str, media_id: str, secret: str, name: str) -> str | None:
    """Return the content type of a public path, or None if no variant can have this path."""
    is_hex = _PREFIX.fullmatch(prefix) and _SECRET.fullmatch(secret)
    if not is_hex or parse_id(user_id) is None or parse_id(media_id) is None:
        return None
    return _NAMES.get(name)


class UploadSigner:
    """Signs upload URLs. A URL allows its holder to upload exactly these bytes until it expires."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"feedmill media upload urls", hashlib.sha256)

    def sign(self, upload: Upload, expires: int) -> str:
        """Return the signature over id, type, size and expiry."""
        text = f"{upload.upload_id}\n{upload.content_type}\n{upload.file_size}\n{expires}"
        return hmac.digest(self._key, text.encode(), hashlib.sha256).hex()

    def is_valid(self, upload: Upload, expires: int, signature: str, now_s: float) -> bool:
        """Return whether the signature is genuine and has not expired."""
        genuine = hmac.compare_digest(self.sign(upload, expires).encode(), signature.encode())
        return genuine and now_s < expires
