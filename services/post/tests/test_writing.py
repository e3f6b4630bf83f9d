from collections.abc import Sequence
from io import BytesIO

import pytest
from starlette.datastructures import UploadFile

from libs.common.core.errors import InvalidError, NotFoundError
from libs.common.core.ids import first_id_at, now_ms
from libs.common.testing.events import CollectedEvents
from libs.contracts.public import Location
from libs.contracts.records import EventRecord
from services.post.domain import Draft, PublishStatus, StoredPost
from services.post.errors import NotYourPostError
from services.post.service.creator import PostCreator
from services.post.service.reader import PostReader
from services.post.service.writer import PostChange, PostWriter
from services.post.tests.fakes import (
    AUTHOR,
    OTHER,
    InMemoryAuthors,
    InMemoryMarks,
    InMemoryMedia,
    InMemoryPosts,
    Recorded,
    draft,
    failed,
    processing,
    ready,
)

POST = first_id_at(now_ms())


class World:
    def __init__(self, *media: object) -> None:
        self.store, self.outbox = InMemoryPosts(), CollectedEvents()
        self.media = InMemoryMedia(*media)  # type: ignore[arg-type]
        self.writer = PostWriter(self.store, self.store.readiness, self.media, self.outbox)


async def test_a_post_of_ready_media_is_published_at_once() -> None:
    world = World(ready(1), ready(2))
    post = await world.writer.create(AUTHOR, POST, draft(2, 1))
    assert post.status is PublishStatus.PUBLISHED
    assert [document.media_id for document in post.media] == [2, 1]
    assert world.outbox.types() == ["post.created"]
    assert world.store.readiness.waiting == set()


async def created(world: World, *media_ids: int, pictures: int = 0, retried: bool = False) -> tuple[list[str], bool]:
    """Create a post of media or pictures. Return the calls that it took, and whether the answer shows it."""
    calls: list[str] = []
    store, readiness, media, authors, marks = (
        Recorded(name, port, calls)
        for name, port in (
            ("posts", world.store),
            ("results", world.store.readiness),
            ("media", world.media),
            ("authors", InMemoryAuthors()),
            ("marks", InMemoryMarks()),
        )
    )
    writer = PostWriter(store, readiness, media, world.outbox)
    reader = PostReader(store, authors, marks, "http://feedmill")
    creator = PostCreator(writer, reader, media, seconds_a_picture=5)
    files = [UploadFile(BytesIO(b"a picture")) for _ in range(pictures)]
    shown = (await creator.create(AUTHOR, POST, draft(*media_ids), files, retried=retried)).shown
    return calls, shown is not None


async def test_a_new_post_is_one_write_and_asks_for_its_media_and_its_author() -> None:
    world = World(ready(2))
    await world.store.readiness.save_result(ready(1))
    calls, is_shown = await created(world, 1)
    assert (calls, is_shown) == (["results.results", "posts.create", "authors.own"], True)
    world = World(ready(1), ready(2))
    calls, _ = await created(world, 1, 2)  # this service has no results of them any more
    assert calls == ["results.results", "media.states", "posts.create", "authors.own"]
    assert world.outbox.types() == ["post.created"]


async def test_a_post_with_its_pictures_asks_once_whether_they_were_processed_meanwhile() -> None:
    calls, is_shown = await created(World(), pictures=2)
    assert (calls, is_shown) == (["media.store", "media.store", "posts.create", "results.results"], False)


async def test_a_post_that_is_sent_again_is_looked_for_first() -> None:
    world = World(ready(1))
    calls, is_shown = await created(world, 1, retried=True)  # the earlier request died before it wrote
    assert calls == ["posts.get", "results.results", "media.states", "posts.create", "authors.own"]
    assert is_shown
    calls, is_shown = await created(world, 1, retried=True)
    assert (calls, is_shown) == (["posts.get", "authors.post_authors", "marks.of"], True)
    assert world.outbox.types() == ["post.created"]


async def test_media_that_are_through_while_the_post_is_written_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(processing(1))
    create = world.store.create

    async def finished_meanwhile(post: StoredPost, events: Sequence[EventRecord] = ()) -> None:
        await world.writer.media_finished(ready(1))  # no post waits for it yet
        await create(post, events)

    monkeypatch.setattr(world.store, "create", finished_meanwhile)
    assert (await world.writer.create(AUTHOR, POST, draft(1))).status is PublishStatus.PUBLISHED
    assert world.outbox.types() == ["post.created"]


async def test_it_waits_for_its_media_and_is_published_by_the_last() -> None:
    world = World(ready(1), processing(2))
    assert (await world.writer.create(AUTHOR, POST, draft(1, 2))).status is PublishStatus.PROCESSING
    assert world.outbox.records == []
    await world.writer.media_finished(ready(2))  # the media service itself has not heard of it yet
    assert world.store.rows[POST].status is PublishStatus.PUBLISHED
    assert world.outbox.types() == ["post.created"]


async def test_media_that_were_through_before_the_post_was_made_are_found() -> None:
    world = World(processing(1))
    await world.writer.media_finished(ready(1))
    assert (await world.writer.create(AUTHOR, POST, draft(1))).status is PublishStatus.PUBLISHED


async def test_publishing_twice_is_one_event() -> None:
    world = World(processing(1))
    await world.writer.create(AUTHOR, POST, draft(1))
    row = world.store.rows[POST]
    await world.writer.media_finished(ready(1))
    world.store.rows[POST] = row  # as a replica that read before the other one wrote
    await world.writer.publish_if_ready(POST)
    assert len({record.event_id for record in world.outbox.records}) == 1


async def test_a_failed_upload_fails_the_post() -> None:
    world = World(processing(1))
    await world.writer.create(AUTHOR, POST, draft(1))
    await world.writer.media_finished(failed(1))
    assert (world.store.rows[POST].status, world.store.rows[POST].reason) == (PublishStatus.FAILED, "corrupt")


@pytest.mark.parametrize("media", [(), (ready(1, OTHER),), (failed(1),)])
async def test_media_that_cannot_be_used_are_refused(media: tuple[object, ...]) -> None:
    world = World(*media)
    with pytest.raises(InvalidError):
        await world.writer.create(AUTHOR, POST, draft(1))
    assert world.store.rows == {}


@pytest.mark.parametrize(
    ("caption", "explicit"),
    [
        (" ".join(f"#t{i}" for i in range(31)), ()),
        ("#a #b", tuple(f"t{i}" for i in range(29))),
        (" ".join(f"@user{i}" for i in range(21)), ()),
    ],
)
async def test_too_many_hashtags_or_mentions_are_refused(caption: str, explicit: tuple[str, ...]) -> None:
    world = World(ready(1))
    with pytest.raises(InvalidError, match="at most"):
        await world.writer.create(AUTHOR, POST, Draft(caption, (1,), explicit, None))
    assert world.store.rows == {}
    await world.writer.create(AUTHOR, POST, Draft("", (1,), explicit, None))
    with pytest.raises(InvalidError, match="at most"):
        await world.writer.edit(AUTHOR, POST, PostChange(caption, None, keep_location=True))


async def test_a_change_to_what_it_is_changes_nothing() -> None:
    world = World(ready(1))
    post = await world.writer.create(AUTHOR, POST, Draft("#b then #a", (1,), ("c", "a"), Location(name="here")))
    assert post.hashtags == ("c", "a", "b")
    told = len(world.outbox.records)
    for change in (
        PostChange(None, None, keep_location=True),
        PostChange("#b then #a", None, keep_location=True),
        PostChange(None, Location(name="here"), keep_location=False),
    ):
        assert await world.writer.edit(AUTHOR, POST, change) == post
    assert len(world.outbox.records) == told


async def test_an_edit_keeps_the_hashtags_beside_the_caption() -> None:
    world = World(ready(1))
    await world.writer.create(AUTHOR, POST, Draft("#b then #a", (1,), ("c", "a"), None))
    post = await world.writer.edit(AUTHOR, POST, PostChange("#d", None, keep_location=True))
    assert (post.hashtags, post.edited_at is not None) == (("c", "a", "d"), True)


async def test_deletion_wins_over_a_late_publish() -> None:
    world = World(processing(1))
    await world.writer.create(AUTHOR, POST, draft(1))
    await world.writer.delete(AUTHOR, POST)
    await world.writer.media_finished(ready(1))
    post = await world.store.get(POST)
    assert post is not None
    assert post.status is PublishStatus.DELETED
    with pytest.raises(NotFoundError):
        await world.writer.delete(AUTHOR, POST)


async def test_only_the_author_changes_a_post() -> None:
    world = World(ready(1), processing(2))
    await world.writer.create(AUTHOR, POST, draft(1))
    await world.writer.create(AUTHOR, POST + 1, draft(2))
    with pytest.raises(NotYourPostError):
        await world.writer.delete(OTHER, POST)
    with pytest.raises(NotFoundError):  # not visible yet: it may as well not exist
        await world.writer.delete(OTHER, POST + 1)


async def test_a_new_caption_brings_new_tags_and_a_higher_version() -> None:
    world = World(ready(1))
    before = await world.writer.create(AUTHOR, POST, draft(1, caption="#old @someone"))
    after = await world.writer.edit(AUTHOR, POST, PostChange("#new", None, keep_location=True))
    assert (after.hashtags, after.mentions) == (("new",), ())
    assert world.store.tags == {("new", POST)}
    assert after.version > before.version
    assert world.outbox.types() == ["post.created", "post.updated"]


async def test_an_edit_meanwhile_is_listed_and_told_whoever_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(processing(1))
    await world.writer.create(AUTHOR, POST, draft(1, caption="#old"))
    publish = world.store.publish

    async def edited_meanwhile(post: StoredPost, events: Sequence[EventRecord]) -> None:
        await world.writer.edit(AUTHOR, POST, PostChange("#new", None, keep_location=True))
        await publish(post, events)

    monkeypatch.setattr(world.store, "publish", edited_meanwhile)
    await world.writer.media_finished(ready(1))
    assert world.store.rows[POST].caption == "#new"
    assert world.store.tags == {("new", POST)}
    assert world.outbox.types() == ["post.updated", "post.created"]


async def test_sent_again_it_is_the_post_as_it_is_and_nothing_is_uploaded() -> None:
    world = World()
    reader = PostReader(world.store, InMemoryAuthors(), InMemoryMarks(), "http://feedmill")
    creator = PostCreator(world.writer, reader, world.media, seconds_a_picture=5)
    for _ in range(2):
        picture = UploadFile(BytesIO(b"a picture"))
        created = await creator.create(AUTHOR, POST, draft(), [picture], retried=True)
        assert created.shown is None
        await world.writer.edit(AUTHOR, POST, PostChange("edited", None, keep_location=True))
    assert list(world.media.known) == [1]
    await world.writer.media_finished(ready(1))
    created = await creator.create(AUTHOR, POST, draft(), [], retried=True)
    assert created.shown is not None
    assert created.shown.caption == "edited"
