from collections.abc import Sequence
from dataclasses import replace

import pytest

from libs.common.core.errors import NotFoundError, UnavailableError
from libs.common.core.ids import first_id_at, now_ms
from libs.common.testing.events import CollectedEvents
from libs.contracts.public import Author
from services.post.service.reader import CachedAuthors, PostReader
from services.post.service.writer import PostWriter
from services.post.tests.fakes import (
    AUTHOR,
    OTHER,
    InMemoryAuthors,
    InMemoryMarks,
    InMemoryMedia,
    InMemoryPosts,
    draft,
    processing,
    ready,
)

FIRST = first_id_at(now_ms() - 1_000)


class World:
    def __init__(self) -> None:
        self.store, self.authors, self.marks = InMemoryPosts(), InMemoryAuthors(), InMemoryMarks()
        self.parted = False
        self.stamp = b"first"
        self.are_stamps_away = False
        kept = self.kept = CachedAuthors(self.authors, self._still, self._stamp)
        self.reader = PostReader(self.store, kept, self.marks, "http://feedmill")
        self.writer = PostWriter(
            self.store, self.store.readiness, InMemoryMedia(ready(1), processing(2), ready(3, OTHER)), CollectedEvents()
        )

    async def _still(self, reader_id: int | None, _user_ids: Sequence[int], _since: float) -> bool:
        return not (self.parted and reader_id == OTHER)

    async def _stamp(self, _author_id: int) -> bytes:
        if self.are_stamps_away:
            raise UnavailableError
        return self.stamp

    async def posts(self, count: int) -> list[int]:
        ids = [FIRST + i for i in range(count)]
        for post_id in ids:
            await self.writer.create(AUTHOR, post_id, draft(1))
        return ids


async def test_pages_are_filled_past_posts_that_are_gone() -> None:
    world = World()
    ids = await world.posts(9)
    for gone in ids[4:8]:
        world.store.deleted.add(gone)  # the list still names it
    shown = await world.reader.by_author(None, AUTHOR, None, 3)
    assert [post.post_id for post in shown.items] == [ids[8], ids[3], ids[2]]


async def test_hidden_posts_of_a_tag_are_not_read() -> None:
    world = World()
    ids = await world.posts(5)
    world.store.authorless.add(ids[0])  # written before hashtag lists named authors
    world.authors.hidden.add((OTHER, AUTHOR))
    await world.writer.create(OTHER, FIRST - 1, draft(3))
    world.store.read.clear()
    shown = await world.reader.by_hashtag(OTHER, "caption", None, 2)
    assert [post.post_id for post in shown.items] == [FIRST - 1]
    assert sorted(world.store.read) == [FIRST - 1, ids[0]]
    assert [post.post_id for post in (await world.reader.by_hashtag(AUTHOR, "caption", None, 2)).items] == ids[:2:-1]


async def test_a_post_on_its_way_is_its_authors_alone() -> None:
    world = World()
    await world.writer.create(AUTHOR, FIRST, draft(2))
    assert (await world.reader.one(AUTHOR, FIRST)).status == "processing"
    for reader in (None, OTHER):
        with pytest.raises(NotFoundError):
            await world.reader.one(reader, FIRST)
    assert await world.reader.hydrate(AUTHOR, [FIRST]) == []
    assert await world.reader.records([FIRST]) == []


@pytest.mark.parametrize("asks", ["one", "stored", "records"])
async def test_as_much_is_asked_for_a_hidden_post_as_for_none(asks: str) -> None:
    """Else the time of the answer would tell them apart."""
    world, asked = World(), list[tuple[int, int]]()
    (hidden,) = await world.posts(1)
    world.authors.hidden.add((OTHER, AUTHOR))
    for post_id in (hidden, FIRST + 9):
        world.authors.asked = world.marks.asked = 0
        if asks == "records":
            assert await world.reader.records([post_id], OTHER) == []
        else:
            with pytest.raises(NotFoundError):
                await getattr(world.reader, asks)(OTHER, post_id)
        asked.append((world.authors.asked, world.marks.asked))
    assert asked[0] == asked[1]
    assert asked[0][0] == 1


async def test_hydration_keeps_the_order_and_leaves_out_what_is_not_there() -> None:
    world = World()
    ids = await world.posts(3)
    shown = await world.reader.hydrate(OTHER, [ids[2], 999, ids[0]])
    assert [post.post_id for post in shown] == [ids[2], ids[0]]
    assert shown[0].engagement.is_liked


async def test_without_marks_the_counts_last_heard_of_are_shown() -> None:
    world = World()
    (post_id,) = await world.posts(1)
    world.marks.down = True
    assert (await world.reader.one(OTHER, post_id)).engagement.like_count == 0


async def test_without_profiles_those_last_shown_are_shown_to_whom_nothing_was_hidden_since() -> None:
    world = World()
    (post_id,) = await world.posts(1)
    for reader in (None, OTHER):
        await world.reader.one(reader, post_id)
    world.authors.down = world.parted = True
    assert (await world.reader.one(None, post_id)).author.user_id == AUTHOR
    with pytest.raises(UnavailableError):
        await world.reader.one(OTHER, post_id)


async def test_nobodys_posts_are_not_found() -> None:
    with pytest.raises(NotFoundError):
        await World().reader.by_author(None, 999, None, 5)


async def test_a_hidden_authors_posts_are_not_there() -> None:
    world = World()
    (post_id,) = await world.posts(1)
    world.authors.hidden = {(OTHER, AUTHOR)}
    for read in (world.reader.one, world.reader.stored):
        assert (await read(AUTHOR, post_id)).post_id == post_id
        assert (await read(None, post_id)).post_id == post_id
        with pytest.raises(NotFoundError):
            await read(OTHER, post_id)
    with pytest.raises(NotFoundError):
        await world.reader.by_author(OTHER, AUTHOR, None, 5)
    assert (await world.reader.by_hashtag(OTHER, "caption", None, 5)).items == []
    assert await world.reader.hydrate(OTHER, [post_id]) == []
    assert await world.reader.records([post_id], OTHER) == []
    assert len(await world.reader.records([post_id], AUTHOR)) == 1
    assert len(await world.reader.records([post_id])) == 1


async def test_pages_are_filled_past_posts_of_hidden_authors() -> None:
    world = World()
    ids = [FIRST + i for i in range(9)]
    for post_id in ids:
        author, media_id = (OTHER, 3) if post_id in ids[4:8] else (AUTHOR, 1)
        await world.writer.create(author, post_id, draft(media_id))
    world.authors.hidden = {(None, OTHER)}
    shown = await world.reader.by_hashtag(None, "caption", None, 3)
    assert [post.post_id for post in shown.items] == [ids[8], ids[3], ids[2]]


async def test_pages_are_filled_past_posts_that_no_longer_have_the_tag() -> None:
    world = World()
    ids = await world.posts(9)
    for post_id in ids[4:8]:  # the list still names them
        world.store.rows[post_id] = replace(world.store.rows[post_id], hashtags=("other",))
    shown = await world.reader.by_hashtag(None, "#Caption", None, 3)
    assert [post.post_id for post in shown.items] == [ids[8], ids[3], ids[2]]


async def test_profiles_last_known_are_each_readers_own() -> None:
    world = World()
    (post_id,) = await world.posts(1)
    for reader in (OTHER, None):
        await world.reader.one(reader, post_id)
    world.authors.hidden = {(OTHER, AUTHOR)}
    with pytest.raises(NotFoundError):
        await world.reader.one(OTHER, post_id)
    world.authors.down = True
    assert (await world.reader.one(None, post_id)).author.user_id == AUTHOR
    with pytest.raises(UnavailableError):
        await world.reader.one(OTHER, post_id)
    assert (await world.reader.stored(AUTHOR, post_id)).post_id == post_id


async def test_an_authors_own_profile_is_asked_for_after_a_change_only() -> None:
    world = World()
    for stamp in (b"first", b"first", b"second", b"second"):
        world.stamp = stamp
        assert await world.kept.own(AUTHOR) == Author(user_id=AUTHOR, username=f"user_{AUTHOR}", display_name="")
    assert world.authors.asked == 2
    world.authors.hidden = {(AUTHOR, AUTHOR)}  # banned
    world.stamp = b"third"
    assert await world.kept.own(AUTHOR) is None


async def test_a_profile_shown_while_the_user_service_is_away_is_not_kept() -> None:
    world = World()
    await world.kept.own(AUTHOR)
    world.authors.down, world.stamp = True, b"second"
    assert await world.kept.own(AUTHOR) is not None
    world.authors.down = False
    await world.kept.own(AUTHOR)
    assert world.authors.asked == 2


async def test_without_stamps_a_profile_is_asked_for_each_time() -> None:
    world = World()
    await world.kept.own(AUTHOR)
    world.are_stamps_away = True
    for asked in (2, 3):
        assert await world.kept.own(AUTHOR) is not None
        assert world.authors.asked == asked


async def test_a_profile_that_changed_while_it_was_asked_for_is_asked_for_again() -> None:
    world = World()
    ask = world.authors.post_authors

    async def changed_meanwhile(reader_id: int | None, user_ids: Sequence[int]) -> dict[int, Author]:
        world.stamp = b"second"
        return await ask(reader_id, user_ids)

    world.authors.post_authors = changed_meanwhile  # type: ignore[method-assign]
    for asked in (1, 2, 2):
        await world.kept.own(AUTHOR)
        assert world.authors.asked == asked
