"""What the worker knows of pictures, without any pixels."""

import hashlib
from dataclasses import dataclass

from libs.common.contracts.media import VARIANTS, Dimensions, MediaDocument

FILES = {name: "original.jpg" if name == "original" else f"{name}.webp" for name in VARIANTS}
FAILED_VERSION, PROCESSED_VERSION = 2, 3  # after 1, the upload; a success outdoes a failure


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a decoder says of a picture."""

    width: int
    height: int
    placeholder: str
    dominant_color: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The file can't be shown; `reason` is a code for clients."""

    reason: str


def variant_paths(owner_id: int, media_id: int) -> dict[str, str]:
    """Where the variants lie; the prefix spreads people over 256 folders."""
    prefix = hashlib.sha256(str(owner_id).encode()).hexdigest()[:2]
    return {name: f"{prefix}/{owner_id}/{media_id}/{file}" for name, file in FILES.items()}


def document(owner_id: int, media_id: int, decoded: Decoded) -> MediaDocument:
    """The document that others keep."""
    return MediaDocument(
        media_id=media_id,
        owner_id=owner_id,
        paths=variant_paths(owner_id, media_id),
        dimensions=Dimensions(width=decoded.width, height=decoded.height),
        placeholder=decoded.placeholder,
        dominant_color=decoded.dominant_color,
    )
