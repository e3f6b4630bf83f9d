"""What `requirements/install` installs, from an index made of the locked packages' own metadata and no code."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = Path(__file__).parents[2] / "requirements"
PIN = re.compile(r"^([A-Za-z0-9._-]+==.+?) \\$", re.MULTILINE)

pytestmark = pytest.mark.timeout(300)


def pins_of(lock: Path) -> dict[str, str]:
    """Name → version of what the lock asks for on this machine."""
    found = (Requirement(line) for line in PIN.findall(lock.read_text()))
    wanted = [one for one in found if one.marker is None or one.marker.evaluate()]
    return {one.name: next(iter(one.specifier)).version for one in wanted}


def make_wheel(index: Path, name: str, version: str, metadata: str) -> str:
    """Put a wheel without code into the index; its SHA-256."""
    stem = f"{name.replace('-', '_')}-{version}"
    folder = index / name
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = f"{stem}.dist-info"
        of_version = re.sub(r"^Version: .*$", f"Version: {version}", metadata, flags=re.MULTILINE)
        archive.writestr(f"{info}/METADATA", of_version)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    links = "".join(f'<a href="{one.name}">{one.name}</a>' for one in folder.glob("*.whl"))
    (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """Make a folder with `requirements/install`, a lock of the pins of dev.txt, and an index with newer ones, too."""
    home, lines = tmp_path / "requirements", []
    home.mkdir()
    shutil.copy(LOCKS / "install", home)
    for name, version in pins_of(LOCKS / "dev.txt").items():
        metadata = (distribution(name).read_text("METADATA") or "").partition("\n\n")[0] + "\n"
        digest = make_wheel(tmp_path / "index", name, version, metadata)
        make_wheel(tmp_path / "index", name, f"{version}.1", metadata)
        lines.append(f"{name}=={version} --hash=sha256:{digest}\n")
    (home / "dev.txt").write_text("".join(lines))
    return home


def install(home: Path) -> subprocess.CompletedProcess[str]:
    index = (home.parent / "index").as_uri()
    environ = {**os.environ, "PIP_INDEX_URL": index, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}
    venv.create(home.parent / "venv")
    command = [str(home / "install"), "dev", *pip_into(home)]
    return subprocess.run(command, env=environ, check=False, capture_output=True, text=True)


def pip_into(home: Path) -> list[str]:
    """Our own pip, as the Dockerfile calls it: a pip in each environment would take two seconds to put there."""
    return [sys.executable, "-m", "pip", "--python", str(home.parent / "venv" / "bin" / "python")]


def keep_only(home: Path, start: str) -> Path:
    """Cut the lock down to the lines that begin so."""
    lock = home / "dev.txt"
    lock.write_text("".join(line for line in lock.read_text().splitlines(keepends=True) if line.startswith(start)))
    return lock


def installed(home: Path) -> dict[str, str]:
    command = [*pip_into(home), "--disable-pip-version-check", "list", "--format=json"]
    listed = json.loads(subprocess.check_output(command, text=True))
    return {canonicalize_name(one["name"]): one["version"] for one in listed}


@pytest.mark.slow
def test_an_index_that_offers_newer_versions_gives_exactly_the_pins(newer: Path) -> None:
    done = install(newer)
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed(newer) == pins_of(LOCKS / "dev.txt")


@pytest.mark.slow
def test_a_lock_that_lacks_a_package_is_refused(newer: Path) -> None:
    keep_only(newer, "fastapi==")
    done = install(newer)
    assert done.returncode != 0
    assert "starlette" in done.stdout


@pytest.mark.slow
def test_a_file_with_another_hash_is_refused(newer: Path) -> None:
    lock = keep_only(newer, "idna==")
    lock.write_text(re.sub(r"sha256:\w+", f"sha256:{'0' * 64}", lock.read_text()))
    done = install(newer)
    assert done.returncode != 0
    assert "HASH" in done.stderr.upper()


@pytest.mark.parametrize("lock", sorted(LOCKS.glob("*.txt")), ids=lambda lock: lock.stem)
def test_each_pin_has_hashes_and_no_lock_names_an_index(lock: Path) -> None:
    text = lock.read_text()
    assert len(PIN.findall(text)) == len(re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE))
    assert "://" not in text
    assert "--index" not in text
