"""What tests of several rooms need."""

from collections.abc import Mapping
from typing import Any, TypeVar

from libs.common.core.settings import Settings

TIMEOUT_FACTOR = 20.0  # how soon a store answers beside all other tests is not what is tested
S = TypeVar("S", bound=Settings)
SECRET = "a secret for tests, 32 bytes or more"  # noqa: S105 - only for tests


def settings_for(settings_type: type[S], environ: Mapping[str, str], **overrides: Any) -> S:
    """Settings as a deployable would read them from `environ`, and nothing of the real environment."""
    given = {name.removeprefix("FEEDMILL_").lower(): value for name, value in environ.items()}
    defaults = {"internal_secret": SECRET, "cursor_secret": SECRET, "timeout_factor": TIMEOUT_FACTOR}
    return settings_type(**{**defaults, **given, **overrides})
