import pytest

from libs.common.core.settings import RENAMED, Settings
from libs.common.testing import settings_for


@pytest.mark.parametrize("old", RENAMED)
def test_a_variable_of_an_earlier_release_is_refused_with_its_new_name(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(old, "2")
    with pytest.raises(ValueError, match=f"{old} has been renamed to {RENAMED[old]}"):
        settings_for(Settings, {})
