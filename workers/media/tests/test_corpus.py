"""The files of the corpus, which is not part of the repository, under the limits that decoding has."""

import hashlib
import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from workers.media.clients import ChildDecoder
from workers.media.domain.documents import FILES
from workers.media.domain.picture import Refused

CORPUS = Path(os.environ.get("FEEDMILL_CORPUS", Path(__file__).parents[3].parent / "shared" / "corpus"))
MANIFEST = CORPUS / "manifest.json"
TYPES = ("jpeg", "png", "webp")
REASONS = {  # of the manifest, and ours
    "corrupt": {"corrupt"},
    "too_large": {"too_many_pixels"},
    "unsupported_type": {"not_an_image", "unsupported_encoding"},
}
LINEAR = {f"media/images/pngsuite-{name}.png" for name in ("basn6a16", "tbbn3p08")}
"""Their gAMA of 1.0 is followed, as browsers do; the manifest's colours are of libraries that pass over it."""
NOT_PIXELS = {"exif", "icc_profile", "comment", "xmp", "photoshop"}

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not MANIFEST.exists(), reason="no corpus: FEEDMILL_CORPUS names its folder"),
]


def pictures() -> list[dict[str, Any]]:
    files = json.loads(MANIFEST.read_text())["files"] if MANIFEST.exists() else []
    return [file for file in files if file["kind"] == "image" and file["format"] in TYPES]


@pytest.mark.parametrize("file", pictures(), ids=lambda file: file["path"])
async def test_a_file_gets_the_verdict_that_is_expected(file: dict[str, Any], tmp_path: Path) -> None:
    """Prints what `sandbox.SLOWEST_CPU_S` was taken from: `pytest -m corpus -rP` shows it."""
    source, expected = CORPUS / file["path"], file["expected"]
    assert hashlib.sha256(source.read_bytes()).hexdigest() == file["sha256"]
    before_s = _children_s()
    verdict = await ChildDecoder().decode(source, tmp_path)
    print(f"{_children_s() - before_s:.2f} s of CPU: {verdict}")
    if expected["verdict"] == "check":
        return
    if isinstance(verdict, Refused):
        refusals = [one for one in (expected, *expected.get("also_ok", [])) if one["verdict"] == "refuse"]
        classes = {name for one in refusals for name in one.get("reasons_ok", [one["reason"]])}
        assert verdict.reason in set().union(*(REASONS[name] for name in classes))
    else:
        assert expected["verdict"] == "accept"
        assert (verdict.width, verdict.height) == (expected["width"], expected["height"])
        _assert_only_pixels(tmp_path)
        if file["path"] not in LINEAR:
            _assert_colours(expected, tmp_path)


def _assert_only_pixels(folder: Path) -> None:
    for name in FILES.values():
        with Image.open(folder / name) as variant:
            assert not NOT_PIXELS & variant.info.keys()
            assert not variant.getexif()


def _assert_colours(expected: dict[str, Any], folder: Path) -> None:
    with Image.open(folder / FILES["original"]) as original:
        small = original.convert("RGB").resize((4, 4), Image.Resampling.BOX)
    for at, wanted in enumerate(expected["pixels_4x4"]):
        pixel = small.getpixel((at % 4, at // 4))
        assert isinstance(pixel, tuple)
        off = max(abs(a - b) for a, b in zip(pixel, bytes.fromhex(wanted), strict=True))
        assert off <= expected["pixels_tolerance"], (at, pixel, wanted)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
