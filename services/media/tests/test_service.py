"""The life of an upload, over fakes and a folder."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from libs.common.core.errors import NotFoundError, TooLargeError, UnavailableError, UnsupportedMediaError
from libs.common.testing.events import CollectedEvents
from libs.contracts.codec import decode
from libs.contracts.events import MediaUploaded
from libs.contracts.media import Dimensions, MediaDocument
from libs.media.errors import NotAnImageError
from libs.media.paths import SecretPaths
from services.media.domain import MAX_IMAGE_BYTES, ProcessingStatus, StoredMedia, Upload, UploadSigner
from services.media.errors import (
    SizeMismatchError,
    TypeMismatchError,
    UploadCompletedError,
    UploadMissingError,
    UploadUrlInvalidError,
)
from services.media.service.library import MediaLibrary
from services.media.service.lifetime import Lifetime
from services.media.stores.folder import FolderMediaObjects
from services.media.tests.fakes import InMemoryMediaStore, stream

OWNER, STRANGER = 5, 6
ROOM_BYTES = 20 * 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n" + b"." * 92
SECRET = "0123456789abcdef" * 2
PATHS = SecretPaths("a secret")
UPLOAD = Upload(1 << 40, OWNER, "image/png", len(PNG), SECRET)
DOCUMENT = MediaDocument(
    media_id=UPLOAD.upload_id,
    owner_id=OWNER,
    paths={"small": f"0f/5/1/{SECRET}/small.webp"},
    dimensions=Dimensions(width=3, height=2),
    placeholder="L",
    dominant_color="#000000",
)
READY = StoredMedia(UPLOAD.upload_id, OWNER, ProcessingStatus.READY, document=DOCUMENT)
FAILED = StoredMedia(UPLOAD.upload_id, OWNER, ProcessingStatus.FAILED, reason="corrupt")


class Room:
    """The service with its fakes and a clock."""

    def __init__(self, root: Path) -> None:
        self.now = 1_000.0
        self.root = root
        self.store = InMemoryMediaStore()
        self.events = CollectedEvents()
        objects, signer = FolderMediaObjects(root), UploadSigner("a secret")
        self.lifetime = Lifetime(self.store, objects, self.events, ROOM_BYTES, lambda: self.now)
        self.library = MediaLibrary(
            self.store, objects, self.events, signer, PATHS, self.lifetime, "http://x", 60, lambda: self.now
        )

    async def put(self, upload: Upload = UPLOAD, body: bytes = PNG) -> None:
        ticket = await self.library.announce(upload)
        query = parse_qs(urlsplit(ticket.address.url).query)
        expires, signature = int(query["expires"][0]), query["signature"][0]
        granted = await self.library.authorize_put(upload.upload_id, expires, signature, upload.content_type)
        await self.library.receive(granted, stream(body[:10], body[10:]))


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


async def test_nothing_is_made_in_place_of_a_store_that_is_away(tmp_path: Path) -> None:
    room = Room(tmp_path / "not mounted")
    with pytest.raises(UnavailableError):
        await room.put()
    assert not room.root.exists()


async def test_an_upload_becomes_media_with_its_event(room: Room) -> None:
    await room.put()
    media = await room.library.complete(OWNER, UPLOAD.upload_id)
    assert media == StoredMedia(UPLOAD.upload_id, OWNER, ProcessingStatus.PROCESSING)
    assert room.events.records == room.store.records
    received = decode(room.store.records[0].value)
    assert received is not None
    assert received.payload == MediaUploaded(
        media_id=UPLOAD.upload_id, owner_id=OWNER, source_key=UPLOAD.source_key, content_type="image/png", secret=SECRET
    )


async def test_completing_twice_changes_nothing(room: Room) -> None:
    await room.put()
    first = await room.library.complete(OWNER, UPLOAD.upload_id)
    assert await room.library.complete(OWNER, UPLOAD.upload_id) == first
    assert len(room.store.records) == 1


async def test_only_the_owner_completes(room: Room) -> None:
    await room.put()
    with pytest.raises(NotFoundError):
        await room.library.complete(STRANGER, UPLOAD.upload_id)
    await room.library.complete(OWNER, UPLOAD.upload_id)
    with pytest.raises(NotFoundError):
        await room.library.complete(STRANGER, UPLOAD.upload_id)


async def test_completing_before_the_put(room: Room) -> None:
    await room.library.announce(UPLOAD)
    with pytest.raises(UploadMissingError):
        await room.library.complete(OWNER, UPLOAD.upload_id)


async def test_completing_what_is_no_image(room: Room) -> None:
    await room.put(body=b"GIF89a" + b"." * (len(PNG) - 6))
    with pytest.raises(NotAnImageError, match=r"The type of the file is GIF. Accepted types are JPEG, PNG, WebP."):
        await room.library.complete(OWNER, UPLOAD.upload_id)
    assert not room.store.media


async def test_the_bytes_decide_and_not_the_declared_type(room: Room) -> None:
    """A PNG is often named .jpg."""
    upload = dataclasses.replace(UPLOAD, content_type="image/jpeg")
    await room.put(upload)
    await room.library.complete(OWNER, upload.upload_id)
    told = decode(room.events.records[0].value)
    assert told is not None
    assert isinstance(told.payload, MediaUploaded)
    assert told.payload.content_type == "image/png"


@pytest.mark.parametrize(
    ("body", "error"), [(PNG[:-1], SizeMismatchError), (PNG + b".", TooLargeError)], ids=["shorter", "longer"]
)
async def test_a_put_of_another_size_leaves_nothing(room: Room, body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await room.put(body=body)
    assert not [path for path in room.root.rglob("*") if path.is_file()]


async def test_a_put_after_completion_is_refused(room: Room) -> None:
    await room.put()
    await room.library.complete(OWNER, UPLOAD.upload_id)
    with pytest.raises(UploadCompletedError):
        await room.put()


async def test_a_put_that_was_let_in_before_completion_replaces_nothing(room: Room) -> None:
    await room.put()

    async def slow() -> AsyncIterator[bytes]:
        yield PNG[:10]
        await room.library.complete(OWNER, UPLOAD.upload_id)
        yield b"!" * (len(PNG) - 10)

    with pytest.raises(UploadCompletedError):
        await room.library.receive(UPLOAD, slow())
    assert [path.read_bytes() for path in room.root.rglob("*") if path.is_file()] == [PNG]


async def test_wrong_and_expired_urls(room: Room) -> None:
    ticket = await room.library.announce(UPLOAD)
    query = parse_qs(urlsplit(ticket.address.url).query)
    expires, signature = int(query["expires"][0]), query["signature"][0]
    for wrong in ((UPLOAD.upload_id + 1, expires, signature), (UPLOAD.upload_id, expires + 1, signature)):
        with pytest.raises(UploadUrlInvalidError):
            await room.library.authorize_put(*wrong, "image/png")
    with pytest.raises(TypeMismatchError):
        await room.library.authorize_put(UPLOAD.upload_id, expires, signature, "image/jpeg")
    room.now += 60
    with pytest.raises(UploadUrlInvalidError):
        await room.library.authorize_put(UPLOAD.upload_id, expires, signature, "image/png")


async def test_what_may_not_be_announced(room: Room) -> None:
    with pytest.raises(UnsupportedMediaError):
        await room.library.announce(dataclasses.replace(UPLOAD, content_type="image/heic"))
    with pytest.raises(TooLargeError):
        await room.library.announce(dataclasses.replace(UPLOAD, file_size=MAX_IMAGE_BYTES + 1))


async def test_storing_in_one(room: Room) -> None:
    assert (await room.library.store(UPLOAD, stream(PNG))).status is ProcessingStatus.PROCESSING
    assert len(room.events.records) == 1


@pytest.mark.parametrize(
    ("chunks", "error"),
    [
        ((b"<html>",), NotAnImageError),
        ((), SizeMismatchError),
        ((PNG, b"\0" * MAX_IMAGE_BYTES), TooLargeError),
    ],
)
async def test_storing_what_is_wrong_leaves_nothing(
    room: Room, chunks: tuple[bytes, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await room.library.store(UPLOAD, stream(*chunks))
    assert not [path for path in room.root.rglob("*") if path.is_file()]
    assert not room.store.media


@pytest.mark.parametrize("order", [(FAILED, READY), (READY, FAILED), (READY, FAILED, READY, FAILED)])
async def test_ready_is_final(room: Room, order: tuple[StoredMedia, ...]) -> None:
    await room.library.store(UPLOAD, stream(PNG))
    for verdict in order:
        await room.library.save_result(verdict)
    assert await room.library.find([UPLOAD.upload_id]) == [READY]


async def test_only_the_owner_sees_an_upload(room: Room) -> None:
    await room.library.store(UPLOAD, stream(PNG))
    assert (await room.library.show(OWNER, UPLOAD.upload_id)).status is ProcessingStatus.PROCESSING
    await room.library.save_result(READY)
    assert await room.library.show(OWNER, UPLOAD.upload_id) == READY
    with pytest.raises(NotFoundError):
        await room.library.show(STRANGER, UPLOAD.upload_id)
