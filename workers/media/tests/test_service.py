"""Verdicts, retries and repetition, over fakes."""

import asyncio
from pathlib import Path

import pytest

from libs.common.contracts.base import Event
from libs.common.contracts.events import MediaFailed, MediaProcessed, MediaUploaded
from libs.common.runtime.errors import UnavailableError
from libs.common.stores.objects import FolderObjectStore
from workers.media.domain import FILES, Decoded, Refused, variant_paths
from workers.media.service import Processing

DECODED = Decoded(800, 600, "LEHV6nWB2yk8", "#336699")
UPLOAD = MediaUploaded(media_id=7, owner_id=42, source_key="uploads/7", content_type="image/png")


class ScriptedDecoder:
    """Answers as told; counts how many work at once."""

    def __init__(self, verdict: Decoded | Refused = DECODED) -> None:
        self.verdict = verdict
        self.running = self.most = 0

    async def decode(self, source: Path, folder: Path) -> Decoded | Refused:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.01)
        self.running -= 1
        if isinstance(self.verdict, Decoded):
            _write_variants(source, folder)
        return self.verdict


def _write_variants(source: Path, folder: Path) -> None:
    for name, file in FILES.items():
        (folder / file).write_bytes(name.encode() + source.read_bytes())


class Published:
    """Remembers events; away for as many calls as told."""

    def __init__(self, away_for: int = 0) -> None:
        self.events: list[Event] = []
        self._away_for = away_for

    async def publish(self, event: Event) -> None:
        if self._away_for:
            self._away_for -= 1
            raise UnavailableError
        self.events.append(event)


class FlakyObjects(FolderObjectStore):
    """Fails as many reads as told."""

    def __init__(self, root: Path, failures: int) -> None:
        super().__init__(root)
        self.failures = failures

    async def get(self, key: str) -> bytes:
        if self.failures:
            self.failures -= 1
            raise OSError("the folder is away")
        return await super().get(key)


class Room:
    """The use case with its fakes."""

    def __init__(self, root: Path, verdict: Decoded | Refused = DECODED, failures: int = 0, away_for: int = 0) -> None:
        self.root = root
        self.slept: list[float] = []
        self.decoder = ScriptedDecoder(verdict)
        self.published = Published(away_for)
        objects = FlakyObjects(root, failures)
        self.processing = Processing(objects, self.decoder, self.published, 2, self._sleep)
        (root / "uploads").mkdir()
        (root / UPLOAD.source_key).write_bytes(b" bytes")

    async def _sleep(self, delay: float) -> None:
        self.slept.append(delay)

    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.root)): p.read_bytes() for p in self.root.rglob("*") if p.is_file()}


async def test_variants_are_stored_and_told_of(tmp_path: Path) -> None:
    room = Room(tmp_path)
    await room.processing.process_all([UPLOAD])
    paths = variant_paths(42, 7)
    assert room.files() == {"uploads/7": b" bytes"} | {path: f"{name} bytes".encode() for name, path in paths.items()}
    (event,) = room.published.events
    assert isinstance(event.payload, MediaProcessed)
    assert event.payload.document.paths == paths
    assert event.payload.document.dimensions.width == 800


def test_paths_spread_by_owner() -> None:
    paths = variant_paths(42, 7)
    assert paths["thumbnail"] == "73/42/7/thumbnail.webp"
    assert paths["original"] == "73/42/7/original.jpg"


async def test_processing_twice_gives_the_same_files_and_event(tmp_path: Path) -> None:
    room = Room(tmp_path)
    await room.processing.process_all([UPLOAD])
    files = room.files()
    await room.processing.process_all([UPLOAD])
    assert room.files() == files
    first, second = room.published.events
    assert first.event_id == second.event_id
    assert first.payload == second.payload


@pytest.mark.parametrize("reason", ["not_an_image", "too_many_pixels", "corrupt", "timed_out"])
async def test_refusals_are_told_at_once(reason: str, tmp_path: Path) -> None:
    room = Room(tmp_path, Refused(reason))
    await room.processing.process_all([UPLOAD])
    (event,) = room.published.events
    assert event.payload == MediaFailed(media_id=7, owner_id=42, reason=reason)
    assert room.slept == []


async def test_a_passing_fault_is_retried(tmp_path: Path) -> None:
    room = Room(tmp_path, failures=3)
    await room.processing.process_all([UPLOAD])
    assert room.slept == [1.0, 2.0, 4.0]
    assert isinstance(room.published.events[0].payload, MediaProcessed)


async def test_a_lasting_fault_fails_the_upload(tmp_path: Path) -> None:
    room = Room(tmp_path, failures=4)
    await room.processing.process_all([UPLOAD])
    assert room.published.events[0].payload == MediaFailed(media_id=7, owner_id=42, reason="unavailable")


async def test_a_verdict_that_could_not_be_told_is_the_runners_to_retry(tmp_path: Path) -> None:
    room = Room(tmp_path, away_for=1)
    with pytest.raises(UnavailableError):
        await room.processing.process_all([UPLOAD])
    await room.processing.process_all([UPLOAD])
    assert len(room.published.events) == 1


async def test_no_more_than_the_allowed_number_at_once(tmp_path: Path) -> None:
    room = Room(tmp_path)
    await room.processing.process_all([UPLOAD] * 6)
    assert room.decoder.most == 2
