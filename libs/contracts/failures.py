"""Why uploads fail; apart from the other contracts, since decoders start faster without their library."""

from enum import StrEnum


class FailureReason(StrEnum):
    """Why an upload did not become a picture: a code for programs, a sentence for people."""

    NOT_AN_IMAGE = "not_an_image"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_COMPLEX = "too_complex"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    CORRUPT = "corrupt"
    TOO_MANY_WAITING = "too_many_waiting"
    PROCESSING_FAILED = "processing_failed"

    @property
    def sentence(self) -> str:
        """What to show to the person."""
        return _SENTENCES[self]

    @classmethod
    def _missing_(cls, _: object) -> "FailureReason":
        """One that another version of this code had: the person can but try again."""
        return cls.PROCESSING_FAILED


_SENTENCES = {
    FailureReason.NOT_AN_IMAGE: "The file is no JPEG, PNG or WebP picture.",
    FailureReason.TOO_MANY_PIXELS: "The picture has more than 50 megapixels. Make it smaller and upload it again.",
    FailureReason.TOO_COMPLEX: "The picture takes too much time or memory to open. Save it anew and upload it again.",
    FailureReason.UNSUPPORTED_ENCODING: (
        "The picture is stored in a rare way, such as 12-bit JPEG. Save it as an ordinary JPEG and upload it again."
    ),
    FailureReason.CORRUPT: "The file is damaged or cut short.",
    FailureReason.TOO_MANY_WAITING: "Too many of your pictures are still waiting. Upload this one again later.",
    FailureReason.PROCESSING_FAILED: "Something went wrong on our side, not with the picture. Upload it again.",
}
