"""Results, files and documents of uploads, without any pixels."""

from dataclasses import dataclass, field

from libs.contracts.failures import FailureReason
from libs.contracts.media import VARIANTS, Dimensions, MediaDocument
from libs.media.paths import media_folder

FILES = {name: "original.jpg" if name == "original" else f"{name}.webp" for name in VARIANTS}
FAILED_VERSION, PROCESSED_VERSION = 2, 3  # 1 is the upload; a success overrides a failure


@dataclass(frozen=True, slots=True)
class Decoded:
    """The result of decoding: size in pixels, BlurHash placeholder and dominant colour as #rrggbb."""

    width: int
    height: int
    placeholder: str
    dominant_color: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The result for an upload that cannot be shown; `detail` is only for the log."""

    reason: FailureReason
    detail: str = field(default="", compare=False)


class DecodingFailedError(Exception):
    """The decoder failed for a reason that is not the picture, so decoding may be tried again.

    `code` is the exit status, or the negative number of a signal; None if the decoder was killed after the time-out.
    `stderr` is the end of its error output.
    """

    def __init__(self, why: str, code: int | None = None, stderr: str = "") -> None:
        super().__init__(why)
        self.code = code
        self.stderr = stderr


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
