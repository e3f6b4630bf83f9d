"""What becomes of a picture: its variants' paths and the document that others keep."""

from libs.contracts.media import VARIANTS, Dimensions, MediaDocument
from libs.media.paths import media_folder
from workers.media.domain.picture import Decoded

FILES = {name: "original.jpg" if name == "original" else f"{name}.webp" for name in VARIANTS}
FAILED_VERSION, PROCESSED_VERSION = 2, 3  # after 1, the upload; a success outdoes a failure


def variant_paths(owner_id: int, media_id: int, secret: str) -> dict[str, str]:
    """Where the variants lie."""
    return {name: f"{media_folder(owner_id, media_id)}/{secret}/{file}" for name, file in FILES.items()}


def document(owner_id: int, media_id: int, secret: str, decoded: Decoded) -> MediaDocument:
    """The document that others keep."""
    return MediaDocument(
        media_id=media_id,
        owner_id=owner_id,
        paths=variant_paths(owner_id, media_id, secret),
        dimensions=Dimensions(width=decoded.width, height=decoded.height),
        placeholder=decoded.placeholder,
        dominant_color=decoded.dominant_color,
    )
