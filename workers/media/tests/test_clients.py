"""The decoding process: its limits, and that none is left behind."""

import asyncio
import os
import signal
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from libs.contracts.failures import FailureReason
from workers.media.clients import STDERR_BYTES, ChildDecoder
from workers.media.decoding.sandbox import MAX_CPU_S, SLOWEST_PIXELS, cpu_s
from workers.media.domain.documents import FILES
from workers.media.domain.picture import Decoded, DecodingFailedError, Refused
from workers.media.tests.hostile import claiming, jpeg, png, png_chunk, rescanned

CONFINED = "from workers.media.decoding.sandbox import confine; confine(); "


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


@pytest.mark.slow
async def test_the_largest_picture_fits_into_the_limits(tmp_path: Path) -> None:
    source = tmp_path / "source"
    Image.new("RGBA", (7_070, 7_070), (0, 0, 255, 128)).save(source, "PNG", compress_level=1)
    decoder = ChildDecoder(wall_s=60)  # how long the machine takes is not the question
    assert isinstance(await decoder.decode(source, tmp_path), Decoded)


async def test_the_reason_of_a_refusal_is_told(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"<html>")
    refused = await ChildDecoder().decode(source, tmp_path)
    assert refused == Refused(FailureReason.NOT_AN_IMAGE)
    assert isinstance(refused, Refused)
    assert "signature" in refused.detail


async def test_many_scans_are_refused_before_any_decoder_is_loaded(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(claiming(rescanned(jpeg(progressive=True), 500), 7_000, 7_000))
    without_pillow = CONFINED + (
        "import sys, json, pathlib; sys.modules['PIL'] = None; from workers.media.decoding import decode; "
        "print(json.dumps(decode.main(*map(pathlib.Path, sys.argv[1:]))))"
    )
    assert await scripted(without_pillow).decode(source, tmp_path) == Refused(FailureReason.TOO_COMPLEX)


async def test_a_child_that_hangs_is_killed_and_reaped_and_the_picture_not_blamed(tmp_path: Path) -> None:
    before = children()
    decoder = scripted("import time; time.sleep(60)", wall_s=0.3)
    with pytest.raises(DecodingFailedError, match="not done"):
        await decoder.decode(tmp_path / "source", tmp_path)
    assert children() == before


@pytest.mark.slow
async def test_a_picture_that_takes_all_its_cpu_time_is_too_complex(tmp_path: Path) -> None:
    busy = scripted(CONFINED + "[0 for zero in iter(int, 1) if zero]", wall_s=60)  # runs without end, in little memory
    assert await busy.decode(tmp_path / "source", tmp_path) == Refused(FailureReason.TOO_COMPLEX)


async def test_larger_pictures_may_take_more_cpu_time(tmp_path: Path) -> None:
    limits = CONFINED + (
        "import json, resource;"
        "from workers.media.decoding.sandbox import allow_cpu; from workers.media.decoding.structure import *;"
        "before = resource.getrlimit(resource.RLIMIT_CPU); allow_cpu(MAX_PIXELS);"
        "print(json.dumps({'reason': '', 'detail': [*before, *resource.getrlimit(resource.RLIMIT_CPU)]}))"
    )
    refused = await scripted(limits).decode(tmp_path / "source", tmp_path)
    assert isinstance(refused, Refused)
    assert refused.detail == str([cpu_s(0), MAX_CPU_S + 1, MAX_CPU_S, MAX_CPU_S + 1])
    assert cpu_s(SLOWEST_PIXELS) == cpu_s(0) < MAX_CPU_S


async def test_a_picture_that_takes_all_its_memory_is_too_complex(tmp_path: Path) -> None:
    """However often it is tried: the limit is the same on an idle machine."""
    (tmp_path / "source").write_bytes(jpeg())
    greedy = CONFINED + (
        "import sys, json, pathlib; from workers.media.decoding import decode, images; "
        "images.make_variants = lambda *_: bytearray(1 << 31); "
        "print(json.dumps(decode.main(*map(pathlib.Path, sys.argv[1:]))))"
    )
    assert await scripted(greedy).decode(tmp_path / "source", tmp_path) == Refused(FailureReason.TOO_COMPLEX)


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
    ("code", "status"),
    [
        ("import os; os.abort()", -signal.SIGABRT),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("raise SystemExit(3)", 3),
        ("import no_such_module", 1),
        ("print('nonsense')", 0),
        ("print('{}')", 0),
        ("print('[]')", 0),
        (CONFINED + "bytearray(1 << 31)", 1),
        (CONFINED + "import sys; open(sys.argv[2] + '/large', 'wb').write(bytes(64 << 20))", 1),
        ("import sys; sys.stdout.write('x' * 1_000_000)", 0),
        ("import sys; sys.stderr.write('x' * 1_000_000); sys.exit(1)", 1),
    ],
)
async def test_whatever_else_a_child_does_is_no_verdict(code: str, status: int, tmp_path: Path) -> None:
    with pytest.raises(DecodingFailedError) as caught:
        await scripted(code).decode(tmp_path / "source", tmp_path)
    assert caught.value.code == status
    assert len(caught.value.stderr) <= STDERR_BYTES


async def test_a_missing_source_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(DecodingFailedError) as caught:
        await ChildDecoder().decode(tmp_path / "source", tmp_path)
    assert "FileNotFoundError" in caught.value.stderr


async def test_a_missing_folder_is_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(jpeg())
    with pytest.raises(DecodingFailedError) as caught:
        await ChildDecoder().decode(tmp_path / "source", tmp_path / "missing")
    assert "FileNotFoundError" in caught.value.stderr


async def test_a_full_disk_is_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(jpeg())
    (tmp_path / FILES["original"]).symlink_to("/dev/full")
    with pytest.raises(DecodingFailedError) as caught:
        await ChildDecoder().decode(tmp_path / "source", tmp_path)
    assert "No space left" in caught.value.stderr


async def test_a_broken_installation_is_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(jpeg())
    broken = CONFINED + (
        "import sys, pathlib; sys.modules['PIL._webp'] = None; from workers.media.decoding import decode; "
        "decode.main(*map(pathlib.Path, sys.argv[1:]))"
    )
    with pytest.raises(DecodingFailedError) as caught:
        await scripted(broken).decode(tmp_path / "source", tmp_path)
    assert "ImportError" in caught.value.stderr or "ModuleNotFoundError" in caught.value.stderr


async def test_a_child_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEEDMILL_INTERNAL_SECRET", "a secret")
    code = "import os, json; print(json.dumps({'reason': 'corrupt', 'detail': ' '.join(os.environ)}))"
    verdict = await scripted(code).decode(tmp_path / "source", tmp_path)
    assert isinstance(verdict, Refused)
    assert "PYTHONPATH" in verdict.detail
    assert "FEEDMILL" not in verdict.detail


async def test_what_is_no_part_of_the_picture_never_reaches_the_decoder(tmp_path: Path) -> None:
    profile = png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(b"x" * 1_500_000))  # Pillow refuses the file for it
    (tmp_path / "source").write_bytes(png(1, 1, [profile], pixels=bytes(4)))
    assert isinstance(await ChildDecoder().decode(tmp_path / "source", tmp_path), Decoded)
