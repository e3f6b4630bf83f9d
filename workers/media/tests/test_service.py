"""Verdicts, retries and repetition, over fakes."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from libs.common.core.errors import UnavailableError
from libs.common.kafka.consumer import ReceivedEvent
from libs.common.stores.objects import FolderObjectStore
from libs.common.testing.eventually import eventually
from libs.common.testing.samples import sample
from libs.contracts.base import Event, Payload
from libs.contracts.events import MediaFailed, MediaProcessed, MediaUploaded
from libs.contracts.failures import FailureReason
from libs.media.image_types import ACCEPTED
from libs.media.paths import SecretPaths
from libs.telemetry.catalog import BY_NAME
from workers.media.consumers import UploadConsumers
from workers.media.domain.documents import FILES, variant_paths
from workers.media.domain.picture import Decoded, DecodingFailedError, Refused
from workers.media.service import processing
from workers.media.service.processing import WAITING_PER_OWNER, UploadProcessor

DECODED = Decoded(800, 600, "LEHV6nWB2yk8", "#336699")
SECRET, PATHS = "0123456789abcdef" * 2, SecretPaths("a secret")
UPLOAD = MediaUploaded(media_id=7, owner_id=42, source_key="uploads/7", content_type="image/png", secret=SECRET)


class ScriptedDecoder:
    """Answers as told; `failures` are raised first."""

    def __init__(self, verdict: Decoded | Refused = DECODED) -> None:
        self.verdict = verdict
        self.failures: list[Exception] = []

    async def decode(self, source: Path, folder: Path) -> Decoded | Refused:
        if self.failures:
            raise self.failures.pop(0)
        if isinstance(self.verdict, Decoded):
            _write_variants(source, folder)
        return self.verdict


class HeldDecoder:
    """Holds each file until `finish` is called with the content of the file."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.running = self.most = 0
        self._held: dict[str, asyncio.Event] = {}

    async def decode(self, source: Path, folder: Path) -> Decoded | Refused:
        name = await asyncio.to_thread(source.read_text)
        self.started.append(name)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self._held.setdefault(name, asyncio.Event()).wait()
        finally:
            self.running -= 1
        return Refused(FailureReason.CORRUPT)

    def finish(self, name: str) -> None:
        self._held.setdefault(name, asyncio.Event()).set()

    async def starts(self, *names: str) -> None:
        async def have() -> bool:
            return sorted(self.started) == sorted(names)

        await eventually(have)


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
        self.processing = UploadProcessor(objects, self.decoder, self.published, PATHS, 2, self._sleep)
        (root / "uploads").mkdir()
        (root / UPLOAD.source_key).write_bytes(b" bytes")

    async def _sleep(self, delay: float) -> None:
        self.slept.append(delay)

    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.root)): p.read_bytes() for p in self.root.rglob("*") if p.is_file()}


async def test_variants_are_stored_and_told_of(tmp_path: Path) -> None:
    room = Room(tmp_path)
    await room.processing.process(UPLOAD)
    paths = variant_paths(42, 7, SECRET)
    assert room.files() == {"uploads/7": b" bytes"} | {path: f"{name} bytes".encode() for name, path in paths.items()}
    (event,) = room.published.events
    assert isinstance(event.payload, MediaProcessed)
    assert event.payload.document.paths == paths
    assert event.payload.document.dimensions.width == 800


def test_paths_spread_by_owner() -> None:
    paths = variant_paths(42, 7, SECRET)
    assert paths["thumbnail"] == f"73/42/7/{SECRET}/thumbnail.webp"
    assert paths["original"] == f"73/42/7/{SECRET}/original.jpg"


async def test_processing_twice_gives_the_same_files_and_event(tmp_path: Path) -> None:
    room = Room(tmp_path)
    await room.processing.process(UPLOAD)
    files = room.files()
    await room.processing.process(UPLOAD)
    assert room.files() == files
    first, second = room.published.events
    assert first.event_id == second.event_id
    assert first.payload == second.payload


@pytest.mark.parametrize("reason", FailureReason)
async def test_refusals_are_told_at_once(reason: FailureReason, tmp_path: Path) -> None:
    room = Room(tmp_path, Refused(reason))
    await room.processing.process(UPLOAD)
    (event,) = room.published.events
    assert event.payload == MediaFailed(media_id=7, owner_id=42, reason=reason)
    assert room.slept == []


async def test_a_passing_fault_is_retried(tmp_path: Path) -> None:
    room = Room(tmp_path, failures=3)
    await room.processing.process(UPLOAD)
    assert room.slept == [1.0, 2.0, 4.0]
    assert isinstance(room.published.events[0].payload, MediaProcessed)


async def test_a_lasting_fault_fails_the_upload(tmp_path: Path) -> None:
    room = Room(tmp_path, failures=4)
    await room.processing.process(UPLOAD)
    assert room.published.events[0].payload == MediaFailed(media_id=7, owner_id=42, reason="processing_failed")


async def test_a_verdict_that_could_not_be_told_is_the_runners_to_retry(tmp_path: Path) -> None:
    room = Room(tmp_path, away_for=1)
    with pytest.raises(UnavailableError):
        await room.processing.process(UPLOAD)
    await room.processing.process(UPLOAD)
    assert len(room.published.events) == 1


async def test_a_decoder_that_failed_is_tried_again_and_its_end_is_logged(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.decoder.failures = [
        DecodingFailedError("no verdict", -9, "killed"),
        DecodingFailedError("no verdict", 1, "bug"),
    ]
    with capture_logs() as logs:
        await room.processing.process(UPLOAD)
    assert room.slept == [1.0, 2.0]
    assert isinstance(room.published.events[0].payload, MediaProcessed)
    killed, broken = [log for log in logs if log["event"] == "attempt_failed"]
    assert (killed["media_id"], killed["signal"], killed["stderr"]) == (7, 9, "killed")
    assert (broken["exit_code"], broken["error"], broken["stderr"]) == (1, "no verdict", "bug")


async def test_a_decoder_that_always_fails_is_not_the_pictures_fault(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.decoder.failures = [DecodingFailedError("not done after 36.0 s")] * 4
    await room.processing.process(UPLOAD)
    assert room.slept == [1.0, 2.0, 4.0]
    assert room.published.events[0].payload == MediaFailed(media_id=7, owner_id=42, reason="processing_failed")


async def test_a_source_that_is_gone_is_not_the_pictures_fault(tmp_path: Path) -> None:
    room = Room(tmp_path)
    (tmp_path / UPLOAD.source_key).unlink()
    await room.processing.process(UPLOAD)
    assert room.slept == [1.0, 2.0, 4.0]
    assert room.published.events[0].payload == MediaFailed(media_id=7, owner_id=42, reason="processing_failed")


async def test_no_folder_for_temporary_files_is_not_the_pictures_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    await room.processing.process(UPLOAD)
    assert room.published.events[0].payload == MediaFailed(media_id=7, owner_id=42, reason="processing_failed")


async def test_why_a_picture_was_refused_is_logged(tmp_path: Path) -> None:
    room = Room(tmp_path, Refused(FailureReason.CORRUPT, "OSError('image file is truncated')"))
    with capture_logs() as logs:
        await room.processing.process(UPLOAD)
    assert [log for log in logs if log["event"] == "upload_refused"] == [
        {
            "event": "upload_refused",
            "log_level": "info",
            "module": "workers.media.service.processing",
            "media_id": 7,
            "reason": "corrupt",
            "detail": "OSError('image file is truncated')",
        }
    ]


async def test_while_the_store_is_away_the_upload_is_the_runners_and_the_store_is_asked_once_a_second(
    tmp_path: Path,
) -> None:
    root = tmp_path / "store"
    root.mkdir()
    room = Room(root)
    shutil.rmtree(root)
    with pytest.raises(UnavailableError):
        await room.processing.process(UPLOAD)
    assert (room.slept, room.published.events) == ([processing.AWAY_S], [])


def upload(name: str) -> MediaUploaded:
    """The first letter is the owner."""
    media_id = int.from_bytes(name.encode())
    return MediaUploaded(
        media_id=media_id, owner_id=ord(name[0]), source_key=f"uploads/{name}", content_type="image/png"
    )


def delivered(payload: Payload) -> ReceivedEvent:
    envelope = Event(payload=payload, entity=payload.key(), entity_version=1).envelope("tests")
    return ReceivedEvent(envelope, payload, 0, 0)


class Queue:
    """Uploads that are being processed with a `HeldDecoder`."""

    def __init__(self, root: Path, decoders: int = 2) -> None:
        (root / "uploads").mkdir()
        self._root = root
        self.decoder = HeldDecoder()
        self.published = Published()
        self.processing = UploadProcessor(FolderObjectStore(root), self.decoder, self.published, PATHS, decoders)
        self.consumers = UploadConsumers(self.processing)
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def add(self, *names: str) -> None:
        for name in names:
            (self._root / "uploads" / name).write_text(name)
            self.tasks[name] = asyncio.create_task(self.consumers.on_media([delivered(upload(name))]))


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Callable[..., Queue]]:
    made: list[Queue] = []

    def make(decoders: int = 2) -> Queue:
        made.append(Queue(tmp_path, decoders))
        return made[-1]

    yield make
    tasks = [task for one in made for task in one.tasks.values()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_owner_leaves_a_decoder_to_the_others(queue: Callable[..., Queue]) -> None:
    q = queue()
    q.add("a1", "a2", "a3")
    await q.decoder.starts("a1")
    q.add("b1")
    await q.decoder.starts("a1", "b1")


async def test_turns_rotate_between_owners(queue: Callable[..., Queue]) -> None:
    q = queue(decoders=1)
    q.add("a1", "a2", "a3", "a4")
    await q.decoder.starts("a1")
    q.add("b1", "b2", "c1")
    q.decoder.finish("a1")
    for name in ("a2", "b1", "b2", "c1", "a3"):
        q.decoder.finish(name)
    await q.decoder.starts("a1", "b1", "c1", "a2", "b2", "a3", "a4")
    assert q.decoder.started == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


async def test_turns_that_become_free_one_after_the_other_go_to_different_owners(queue: Callable[..., Queue]) -> None:
    q = queue(decoders=3)
    q.add("x1", "y1", "z1")
    await q.decoder.starts("x1", "y1", "z1")
    q.add("a1", "a2", "b1")
    q.decoder.finish("x1")
    await q.decoder.starts("x1", "y1", "z1", "a1")
    q.decoder.finish("y1")
    await q.decoder.starts("x1", "y1", "z1", "a1", "b1")


async def test_an_owner_who_comes_goes_before_the_next_picture_of_those_who_hold_turns(
    queue: Callable[..., Queue],
) -> None:
    q = queue()
    q.add("a1", "a2", "c1", "c2")
    await q.decoder.starts("a1", "c1")
    q.add("b1")
    q.decoder.finish("a1")
    await q.decoder.starts("a1", "c1", "b1")


async def test_a_picture_that_is_tried_again_holds_no_decoder_meanwhile(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.decoder.failures = [DecodingFailedError("no verdict")] * 4
    during: list[str] = []

    async def sleep(_: float) -> None:
        async with asyncio.timeout(5):
            async with turns.turn(1), turns.turn(2):
                during.append("both free")

    room.processing = UploadProcessor(FolderObjectStore(tmp_path), room.decoder, room.published, PATHS, 2, sleep)
    turns = room.processing._turns
    await room.processing.process(UPLOAD)
    assert len(during) == 3


async def test_cancelled_uploads_give_back_their_turns(queue: Callable[..., Queue]) -> None:
    q = queue()
    q.add("a1", "a2", "b1", "c1", "c2")
    await q.decoder.starts("a1", "b1")
    for task in q.tasks.values():
        task.cancel()
    await asyncio.gather(*q.tasks.values(), return_exceptions=True)
    q.add("d1", "e1", "f1")
    for name in ("d1", "e1", "f1"):
        q.decoder.finish(name)
        await q.tasks[name]
    assert q.decoder.most == 2


async def test_an_owners_share_of_the_queue_is_bounded_and_nobody_elses(queue: Callable[..., Queue]) -> None:
    q = queue()
    names = [f"a{number}" for number in range(WAITING_PER_OWNER + 1)]
    q.add(*names, "b1")
    await q.tasks[names[-1]]
    [event] = q.published.events
    failed = upload(names[-1])
    assert event.payload == MediaFailed(media_id=failed.media_id, owner_id=ord("a"), reason="too_many_waiting")
    await q.decoder.starts("a0", "b1")
    q.decoder.finish("a0")
    await q.tasks["a0"]
    q.add("a999")
    await q.decoder.starts("a0", "b1", "a1")
    assert not q.tasks["a999"].done()


async def test_what_was_settled_before_is_not_decoded_again(queue: Callable[..., Queue]) -> None:
    q = queue()
    q.add("a1", "a2", "a3")
    await q.decoder.starts("a1")
    verdict = MediaFailed(media_id=upload("a2").media_id, owner_id=ord("a"), reason="corrupt")
    await q.consumers.on_media([delivered(verdict)])
    q.decoder.finish("a1")
    await q.decoder.starts("a1", "a3")
    await q.tasks["a2"]
    q.add("a2")
    q.decoder.finish("a3")
    await q.decoder.starts("a1", "a3", "a2")


async def test_an_upload_in_the_dead_letters_fails_for_its_owner_too(queue: Callable[..., Queue]) -> None:
    q = queue()
    await q.consumers.on_dead_letter(delivered(UPLOAD))
    [event] = q.published.events
    assert event.payload == MediaFailed(media_id=7, owner_id=42, reason="processing_failed")
    await q.consumers.on_dead_letter(delivered(event.payload))
    assert len(q.published.events) == 1


@pytest.mark.parametrize(
    ("content", "label"),
    [(b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"RIFF....WEBP", "webp"), (b"GIF89a", "other")],
)
async def test_attempts_are_timed_by_the_type_of_the_file(tmp_path: Path, content: bytes, label: str) -> None:
    room, before = Room(tmp_path), sample("feedmill_media_processing_seconds_count", type=label)
    (tmp_path / UPLOAD.source_key).write_bytes(content)
    room.decoder.failures.append(DecodingFailedError("killed"))
    await room.processing.process(UPLOAD)
    assert sample("feedmill_media_processing_seconds_count", type=label) == before + 2


def test_the_outcomes_of_the_catalog_are_the_reasons() -> None:
    assert set(BY_NAME["feedmill_media_processed_total"].labels["outcome"]) == {"processed", *FailureReason}
    assert set(BY_NAME["feedmill_media_processing_seconds"].labels["type"]) == {
        *(name.lower() for name in ACCEPTED.values()),
        "other",
    }
