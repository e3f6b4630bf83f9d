"""The decoding process: its limits, and that none is left behind."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from workers.media.clients import ChildDecoder
from workers.media.domain import FILES, Decoded, Refused

CONFINED = "from workers.media.sandbox import confine; confine(); "


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def scripted(code: str, wall_s: float = 10.0) -> ChildDecoder:
    return ChildDecoder((sys.executable, "-c", code), wall_s)


async def test_a_picture_is_decoded_in_a_child(tmp_path: Path) -> None:
    source = tmp_path / "source"
    Image.new("RGB", (900, 600), (0, 0, 255)).save(source, "JPEG")
    decoded = await ChildDecoder().decode(source, tmp_path)
    assert isinstance(decoded, Decoded)
    assert (decoded.width, decoded.height) == (900, 600)
    assert all((tmp_path / file).stat().st_size for file in FILES.values())


async def test_the_largest_picture_fits_into_the_limits(tmp_path: Path) -> None:
    source = tmp_path / "source"
    Image.new("RGBA", (7_070, 7_070), (0, 0, 255, 128)).save(source, "PNG", compress_level=1)
    decoder = ChildDecoder(wall_s=60)  # how long the machine takes is not the question
    assert isinstance(await decoder.decode(source, tmp_path), Decoded)


async def test_the_reason_of_a_refusal_is_told(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"<html>")
    assert await ChildDecoder().decode(source, tmp_path) == Refused("not_an_image")


async def test_a_child_that_hangs_is_killed_and_reaped(tmp_path: Path) -> None:
    started = time.monotonic()
    before = children()
    decoder = scripted("import time; time.sleep(60)", wall_s=0.3)
    assert await decoder.decode(tmp_path / "source", tmp_path) == Refused("timed_out")
    assert time.monotonic() - started < 5
    assert children() == before


async def test_a_cancelled_turn_leaves_no_child(tmp_path: Path) -> None:
    before = children()
    turn = asyncio.create_task(scripted("import time; time.sleep(60)").decode(tmp_path / "source", tmp_path))
    while children() == before:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert children() == before


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.abort()",
        "raise SystemExit(3)",
        "print('nonsense')",
        "print('{}')",
        CONFINED + "bytearray(1 << 31)",
        CONFINED + "import sys; open(sys.argv[2] + '/large', 'wb').write(bytes(64 << 20))",
        "import sys; sys.stdout.write('x' * 1_000_000)",
    ],
    ids=["aborts", "exits", "prints-nonsense", "prints-an-empty-verdict", "eats-memory", "eats-disk", "floods"],
)
async def test_whatever_a_child_does_is_a_verdict(code: str, tmp_path: Path) -> None:
    assert await scripted(code).decode(tmp_path / "source", tmp_path) == Refused("corrupt")


async def test_a_child_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEEDMILL_INTERNAL_SECRET", "a secret")
    code = "import os, json; print(json.dumps({'reason': str('FEEDMILL_INTERNAL_SECRET' in os.environ)}))"
    assert await scripted(code).decode(tmp_path / "source", tmp_path) == Refused("False")
