"""Helpers for the tests of all packages."""

from collections.abc import Mapping
from typing import Any, TypeVar

from libs.common.core.settings import Settings

TIMEOUT_FACTOR = 20.0  # stores are slow while many tests run, and their speed is not tested
S = TypeVar("S", bound=Settings)
SECRET = "a secret for tests, 32 bytes or more"  # noqa: S105 - only for tests


def settings_for(settings_type: type[S], environ: Mapping[str, str], **overrides: Any) -> S:
    """Settings from the variables in `environ`, ignoring the real environment."""
    given = {name.removeprefix("FEEDMILL_").lower(): value for name, value in environ.items()}
    defaults = {"internal_secret": SECRET, "cursor_secret": SECRET, "timeout_factor": TIMEOUT_FACTOR}
    return settings_type(**{**defaults, **given, **overrides})
