"""Expected failures, with messages for the person at the terminal."""

from collections.abc import Sequence


class DevstackError(Exception):
    """Something the user must know; its text is the whole message."""


class Cancelled(DevstackError):
    """Ctrl-C or SIGTERM came while something was starting."""

    def __init__(self) -> None:
        super().__init__("interrupted")


class ProcessFailed(DevstackError):
    """A process died or never became ready."""

    def __init__(self, name: str, reason: str, log_tail: Sequence[str], log_path: object) -> None:
        self.name = name
        lines = "".join(f"\n    {line}" for line in log_tail)
        super().__init__(f"{name} {reason}; its last log lines ({log_path}):{lines}")
