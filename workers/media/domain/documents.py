"""Files and documents of uploads, without any pixels."""

from libs.contracts.media import VARIANTS, Dimensions, MediaDocument
from libs.media.paths import media_folder
from workers.media.domain.picture import Decoded

FILES = {name: "original.jpg" if name == "original" else f"{name}.webp" for name in VARIANTS}
FAILED_VERSION, PROCESSED_VERSION = 2, 3  # 1 is the upload; a success overrides a failure


def variant_paths(owner_id: int, media_id: int, secret: str) -> dict[str, str]:
    """The object keys of the variants, by name."""
    return {name: f"{media_folder(owner_id, media_id)}/{secret}/{file}" for name, file in FILES.items()}


def document(owner_id: int, media_id: int, secret: str, decoded: Decoded) -> MediaDocument:
    """The description of a processed upload, for other services."""
    return MediaDocument(
        media_id=media_id,
        owner_id=owner_id,
        paths=variant_paths(owner_id, media_id, secret),
        dimensions=Dimensions(width=decoded.width, height=decoded.height),
        placeholder=decoded.placeholder,
        dominant_color=decoded.dominant_color,
    )
