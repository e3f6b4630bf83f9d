"""Results of decoding. The child process imports them, and starts faster without the library of the contracts."""

from dataclasses import dataclass, field

from libs.contracts.failures import FailureReason


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
