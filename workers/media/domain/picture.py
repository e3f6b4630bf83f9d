"""What a decoder says of a picture. The child process imports it, and starts faster without the contracts' library."""

from dataclasses import dataclass, field

from libs.contracts.failures import FailureReason


@dataclass(frozen=True, slots=True)
class Decoded:
    """What is known of a picture besides its files."""

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
