"""Why uploads fail; apart from the other contracts, since decoders start faster without their library."""

from enum import StrEnum


class FailureReason(StrEnum):
    """Why an upload failed: a code for programs, a sentence for people."""

    NOT_AN_IMAGE = "not_an_image"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_COMPLEX = "too_complex"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    CORRUPT = "corrupt"
    TOO_MANY_WAITING = "too_many_waiting"
    PROCESSING_FAILED = "processing_failed"

    @property
    def sentence(self) -> str:
        """The reason as a sentence for people."""
        return _SENTENCES[self]

    @classmethod
    def _missing_(cls, _: object) -> "FailureReason":
        """A reason of another version of this code: the person can only try again."""
        return cls.PROCESSING_FAILED


_SENTENCES = {
    FailureReason.NOT_AN_IMAGE: "The file is not a JPEG, PNG or WebP image.",
    FailureReason.TOO_MANY_PIXELS: "The image has more than 50 megapixels. Make it smaller and upload it again.",
    FailureReason.TOO_COMPLEX: "The image takes too much time or memory to open. Save it again and upload it.",
    FailureReason.UNSUPPORTED_ENCODING: (
        "The image has a rare encoding, such as 12-bit JPEG. Save it as an ordinary JPEG and upload it again."
    ),
    FailureReason.CORRUPT: "The file is damaged or incomplete.",
    FailureReason.TOO_MANY_WAITING: "Too many of your images are still waiting. Upload this one again later.",
    FailureReason.PROCESSING_FAILED: "The image could not be processed because of a server error. Upload it again.",
}
