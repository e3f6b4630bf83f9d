"""Media live as long as a post or the profile shows them."""

from pathlib import Path
from typing import cast

import pytest

from libs.common.core.errors import NotFoundError
from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.base import Event, utc_now
from libs.contracts.codec import decode
from libs.contracts.events import MediaDeleted, PostCreated, PostDeleted
from libs.contracts.records import encode
from libs.media.paths import media_folder
from services.media.consumers import MediaLifecycleConsumers
from services.media.domain import MediaUse, Upload
from services.media.errors import MediaInUseError, TooMuchUnpostedError
from services.media.service.library import MediaLibrary
from services.media.service.lifetime import PROFILE, PURGE_AFTER_S, UNPOSTED_TTL_S, USES_A_CALL
from services.media.tests.fakes import stream
from services.media.tests.test_service import OWNER, PNG, READY, ROOM_BYTES, STRANGER, UPLOAD, Room

MEDIA_ID = READY.media_id
CREATED = PostCreated(post_id=1, author_id=OWNER, created_at=utc_now(), media_ids=(MEDIA_ID,))
DELETED = PostDeleted(post_id=1, author_id=OWNER, media_ids=(MEDIA_ID,))
OTHER = CREATED.model_copy(update={"post_id": 2})
OTHER_DELETED = DELETED.model_copy(update={"post_id": 2})


@pytest.fixture
async def room(tmp_path: Path) -> Room:
    room = Room(tmp_path)
    room.now = 1_790_000_000.0
    await room.put()
    await room.library.complete(OWNER, UPLOAD.upload_id)
    await room.library.save_result(READY)
    folder = tmp_path / media_folder(OWNER, MEDIA_ID) / "secret"
    folder.mkdir(parents=True)
    (folder / "small.webp").write_bytes(b"pixels")
    return room


def received(payload: PostCreated | PostDeleted) -> ReceivedEvent:
    read = decode(encode(Event(payload=payload, entity="1", entity_version=1), "services.post").value)
    assert read
    return ReceivedEvent(read.envelope, read.payload, 0, 0)


async def told(room: Room, *payloads: PostCreated | PostDeleted) -> None:
    for payload in payloads:
        await told_together(room, payload)


async def told_together(room: Room, *payloads: PostCreated | PostDeleted) -> None:
    consumers = MediaLifecycleConsumers(cast("MediaLibrary", None), room.lifetime)
    await consumers.on_posts([received(payload) for payload in payloads])


async def exists(room: Room) -> bool:
    return bool(await room.library.find([MEDIA_ID]))


def has_files(room: Room) -> bool:
    return (room.root / media_folder(OWNER, MEDIA_ID)).exists()


@pytest.mark.parametrize("repeats", [1, 2])
async def test_media_go_with_their_post(room: Room, repeats: int) -> None:
    await told(room, *[CREATED] * repeats)
    assert await exists(room)
    await told(room, *[DELETED] * repeats)
    assert not await exists(room)
    told_of = [event.payload for event in map(decode, (r.value for r in room.events.records)) if event]
    assert told_of[-1] == MediaDeleted(media_id=MEDIA_ID, owner_id=OWNER)


async def test_the_uses_of_many_posts_are_one_write(room: Room) -> None:
    posts = [CREATED.model_copy(update={"post_id": post_id}) for post_id in range(USES_A_CALL + 1)]
    await told_together(room, *posts)
    assert room.store.use_writes == 2
    assert set(await room.store.uses(MEDIA_ID)) == {post.post_id for post in posts}


async def test_a_post_is_deleted_after_it_was_recorded(room: Room) -> None:
    await told_together(room, CREATED, OTHER, DELETED)
    assert await exists(room)
    await told_together(room, OTHER_DELETED)
    assert not await exists(room)


async def test_media_that_another_post_shows_stay(room: Room) -> None:
    await told(room, CREATED, OTHER, DELETED)
    assert await exists(room)
    await told(room, CREATED, OTHER_DELETED)  # the first comes again, late
    assert not await exists(room)


async def test_media_posted_again_in_the_moment_of_deletion_stay(room: Room) -> None:
    await told(room, CREATED, DELETED)
    await told(room, OTHER)
    assert await exists(room)


async def test_a_post_made_while_media_are_deleted_keeps_them(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    marked = room.store.mark_deleted

    async def meanwhile(*arguments: object) -> None:
        await told(room, OTHER)
        await marked(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(room.store, "mark_deleted", meanwhile)
    await told(room, CREATED, DELETED)
    assert await exists(room)


async def test_media_of_posts_from_before_uses_were_known_stay(room: Room) -> None:
    await told(room, DELETED)
    assert await exists(room)


async def test_only_what_nobody_shows_can_be_deleted(room: Room) -> None:
    with pytest.raises(NotFoundError):
        await room.lifetime.delete(STRANGER, MEDIA_ID)
    await room.lifetime.mark_used([MediaUse(MEDIA_ID, OWNER, PROFILE)])
    await told(room, CREATED, DELETED)
    with pytest.raises(MediaInUseError):
        await room.lifetime.delete(OWNER, MEDIA_ID)
    assert await exists(room)


async def test_bytes_are_purged_after_thirty_days(room: Room) -> None:
    await told(room, CREATED, DELETED)
    room.now += PURGE_AFTER_S - 1
    await room.lifetime.sweep()
    assert has_files(room)
    room.now += 3_600
    await room.lifetime.sweep()
    assert not has_files(room)
    assert await room.store.find([MEDIA_ID]) == []
    assert await room.lifetime.sweep() == 0


async def test_what_was_restored_is_not_purged(room: Room) -> None:
    await told(room, CREATED, DELETED, OTHER)
    room.now += PURGE_AFTER_S + 3_600
    await room.lifetime.sweep()
    assert has_files(room)
    assert await exists(room)


async def test_what_was_never_posted_is_deleted_and_purged(room: Room) -> None:
    room.now += UNPOSTED_TTL_S - 1
    await room.lifetime.sweep()
    assert await exists(room)
    room.now += 3_600
    await room.lifetime.sweep()
    assert not await exists(room)
    assert has_files(room)
    room.now += PURGE_AFTER_S + 3_600
    await room.lifetime.sweep()
    assert not has_files(room)


async def test_what_was_posted_is_not_swept(room: Room) -> None:
    await told(room, CREATED)
    before = list(room.events.records)
    room.now += UNPOSTED_TTL_S + 3_600
    await room.lifetime.sweep()
    assert await exists(room)
    assert room.events.records == before  # no event says that it was deleted


async def test_bytes_that_are_not_posted_have_a_limit(room: Room) -> None:
    def upload(number: int, size: int) -> Upload:
        return Upload(number, OWNER, "image/png", size, UPLOAD.secret)

    half = ROOM_BYTES // 2
    await room.library.announce(upload(1, half))
    await room.library.announce(upload(1, half))  # the same again
    with pytest.raises(TooMuchUnpostedError):
        await room.library.announce(upload(2, half))
    await room.library.announce(upload(2, half - len(PNG)))
    with pytest.raises(TooMuchUnpostedError):
        await room.library.store(upload(3, 0), stream(PNG))
    assert not (room.root / "uploads/3").exists()
    await told(room, CREATED)
    await room.library.store(upload(3, 0), stream(PNG))
