"""What the worker knows of pictures, without any pixels."""

from dataclasses import dataclass, field

from libs.contracts.failures import FailureReason
from libs.contracts.media import VARIANTS, Dimensions, MediaDocument
from libs.media.paths import media_folder

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
    """The upload fails; `detail` is for the log."""

    reason: FailureReason
    detail: str = field(default="", compare=False)


class DecodingFailedError(Exception):
    """The decoder failed, which says nothing about the picture: it may be tried again.

    `code` is the exit status, or minus a signal's number; None if it did not end by itself. `stderr` ends with its last
    words.
    """

    def __init__(self, why: str, code: int | None = None, stderr: str = "") -> None:
        super().__init__(why)
        self.code = code
        self.stderr = stderr


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
