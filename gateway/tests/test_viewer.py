import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import viewer
from gateway.__main__ import main
from gateway.openapi import Document
from libs.deployables import service_urls

ROOT = "META-INF/resources/webjars/swagger-ui/5.0.0"


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    path = tmp_path / "swagger-ui.jar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (*viewer.ASSETS, "index.html", "swagger-ui.js.map"):
            archive.writestr(f"{ROOT}/{name}", f"the jar's {name}")
    return path


@pytest.fixture(autouse=True)
def _services_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    documents: dict[str, Document] = {service: {"paths": {}} for service in service_urls({})}
    monkeypatch.setattr("gateway.__main__.fetch", lambda _: documents)


def write(jar: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("FEEDMILL_GATEWAY_SWAGGER_UI_JAR", str(jar))
    return main(["openapi", "--out", str(out)])


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_needed_files_are_written_and_the_page_is_ours(
    jar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert write(jar, tmp_path / "docs", monkeypatch) == 0
    written = tree(tmp_path / "docs")
    assert written.keys() == {"openapi.json", *(f"viewer/{name}" for name in (*viewer.ASSETS, *viewer.PAGE))}
    assert written["viewer/swagger-ui.css"] == b"the jar's swagger-ui.css"
    assert b"/v1/openapi.json" in written["viewer/initializer.js"]
    assert b"the jar's" not in written["viewer/index.html"]


def damage(jar: Path) -> None:
    content = bytearray(jar.read_bytes())
    content[content.index(b"swagger-ui.css") + len("swagger-ui.css") + 1] ^= 0xFF
    jar.write_bytes(content)


def cut(jar: Path) -> None:
    jar.write_bytes(jar.read_bytes()[:200])


def leave_one_out(jar: Path) -> None:
    with zipfile.ZipFile(jar, "w") as archive:
        for name in viewer.ASSETS[:-1]:
            archive.writestr(f"{ROOT}/{name}", "x")


@pytest.mark.parametrize("spoil", [damage, cut, leave_one_out, Path.unlink])
def test_a_bad_jar_changes_nothing(
    spoil: Callable[[Path], None],
    jar: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert write(jar, tmp_path / "docs", monkeypatch) == 0
    before = tree(tmp_path / "docs")
    spoil(jar)
    assert write(jar, tmp_path / "docs", monkeypatch) == 1
    assert tree(tmp_path / "docs") == before
    message = capsys.readouterr().err
    assert message.startswith("gateway: ")
    assert str(jar) in message
    assert message.count("\n") == 1


def test_a_file_that_can_not_be_written_changes_nothing(
    jar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "docs"
    (out / "viewer").mkdir(parents=True)
    (out / "openapi.json").write_text("old")
    (out / "viewer" / f".{viewer.PAGE[-1]}.new").mkdir()  # where the last file would be prepared
    assert write(jar, out, monkeypatch) == 1
    assert tree(out) == {"openapi.json": b"old"}


def test_the_jar_must_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["openapi", "--out", str(tmp_path)]) == 1
    assert "FEEDMILL_GATEWAY_SWAGGER_UI_JAR is not set" in capsys.readouterr().err
