from pathlib import Path

import pytest

from devstack.errors import DevstackError
from devstack.settings import Settings, parse_env_file


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    path.write_text("# a comment\n\nexport A=1\nB = two words \nC=\"a=b\"\nD='x'\nE=\nnonsense\n")
    return path


def test_env_file(env_file: Path) -> None:
    assert parse_env_file(env_file) == {"A": "1", "B": "two words", "C": "a=b", "D": "x", "E": ""}


def test_no_env_file(tmp_path: Path) -> None:
    assert parse_env_file(tmp_path / ".env") == {}


def test_the_environment_wins_over_the_file(env_file: Path) -> None:
    assert Settings.load(env_file.parent, {"A": "9"}).values["A"] == "9"


def test_the_state_lies_in_the_checkout_unless_told(tmp_path: Path) -> None:
    assert Settings.load(tmp_path, {}).state_dir == tmp_path / ".feedmill"
    assert Settings.load(tmp_path, {"FEEDMILL_STATE_DIR": "/elsewhere"}).state_dir == Path("/elsewhere")


def test_pinned_ports(tmp_path: Path) -> None:
    environ = {"FEEDMILL_MEDIA_WORKER_PORT": "9000", "FEEDMILL_PORT": "1", "FEEDMILL_FEED_PORT": "", "X_PORT": "2"}
    assert Settings.load(tmp_path, environ).pinned_ports() == {"media-worker": 9000}


@pytest.mark.parametrize("value", ["http", "0", "65536", "-1"])
def test_a_bad_port_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(DevstackError, match="FEEDMILL_FEED_PORT"):
        Settings.load(tmp_path, {"FEEDMILL_FEED_PORT": value}).pinned_ports()
