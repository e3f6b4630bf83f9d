"""The command `feedmill` of a checkout."""

import os
import subprocess
from pathlib import Path

import pytest

from devstack.settings import ROOT


def feedmill(command: Path, state_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FEEDMILL_")}
    environ["FEEDMILL_STATE_DIR"] = str(state_dir)
    return subprocess.run([command, *arguments], env=environ, cwd="/", check=False, capture_output=True, text=True)


@pytest.mark.parametrize("by", ["path", "link"])
@pytest.mark.slow
def test_it_works_from_anywhere(by: str, tmp_path: Path) -> None:
    command = ROOT / "devstack" / "feedmill"
    if by == "link":
        link = tmp_path / "feedmill"
        link.symlink_to(command)
        command = link
    done = feedmill(command, tmp_path, "--help")
    assert done.stdout.startswith("usage: feedmill"), done.stderr


@pytest.mark.slow
def test_it_guesses_no_system(tmp_path: Path) -> None:
    """Another checkout's may be at the usual address."""
    done = feedmill(ROOT / "devstack" / "feedmill", tmp_path, "seed")
    assert done.returncode == 1
    assert "make up" in done.stderr
