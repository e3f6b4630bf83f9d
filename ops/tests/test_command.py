"""The command line: its help, and what it says where no system is."""

import importlib
import tomllib

import pytest
from structlog.testing import capture_logs

from devstack.settings import ROOT
from libs.common.core.logging import get_logger, processors
from ops.__main__ import main

COMMANDS = ["seed", "journey", "oracle", "explain", "rebuild", "reconcile", "hash", "dlq"]
NEEDED = ("FEEDMILL_PUBLIC_URL", "FEEDMILL_INTERNAL_SECRET", "FEEDMILL_CURSOR_SECRET")


@pytest.fixture(autouse=True)
def no_system(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)


def feedmill(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["feedmill", *arguments])
    return main()


def help_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as left:
        feedmill(monkeypatch, *arguments, "--help")
    assert left.value.code == 0
    return capsys.readouterr().out


def test_help_names_each_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = help_of(monkeypatch, capsys).splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ") and line.split()[0] in COMMANDS] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert help_of(monkeypatch, capsys, command).startswith(f"usage: feedmill {command} ")


@pytest.mark.parametrize(
    ("arguments", "lacks"),
    [
        (["seed"], "--base-url"),
        (["journey"], "FEEDMILL_PUBLIC_URL"),
        (["oracle"], "FEEDMILL_INTERNAL_SECRET"),
        (["dlq", "list"], "FEEDMILL_CURSOR_SECRET"),
    ],
)
def test_without_a_system_it_says_what_it_needs(
    arguments: list[str], lacks: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert feedmill(monkeypatch, *arguments) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "make up" in said
    assert lacks in said


def test_pip_installs_the_same_command() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["feedmill"].partition(":")
    assert getattr(importlib.import_module(module), function) is main


def test_the_hash_of_an_account_is_that_of_the_logs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEEDMILL_INTERNAL_SECRET", "secret")
    monkeypatch.setenv("FEEDMILL_CURSOR_SECRET", "secret")
    assert feedmill(monkeypatch, "hash", "17") == 0
    with capture_logs(processors("secret")) as lines:
        get_logger(__name__).info("something", reader_id=17)
    assert capsys.readouterr().out.strip() == lines[0]["reader_id"]
