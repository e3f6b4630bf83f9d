from collections.abc import Awaitable, Iterator, Sequence
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.core.errors import NotFoundError
from libs.common.core.ids import MAX_ID
from libs.common.testing.events import CollectedEvents
from libs.contracts.codec import decode
from libs.contracts.records import EventRecord
from services.interaction.domain import (
    FIRST_POSITION,
    POST_MARKS,
    CountWithMember,
    MarkKind,
    StoredComment,
    from_top_position,
    top_position,
)
from services.interaction.errors import NotYourCommentError, TooDeepError
from services.interaction.service.interactions import Comments, LikesAndSaves
from services.interaction.tests.fakes import (
    ANN,
    BOB,
    POST,
    POST_AUTHOR,
    InMemoryActiveMarks,
    InMemoryComments,
    InMemoryLedger,
    InMemoryMarks,
    InMemoryPeople,
    InMemoryPosts,
)

LIKE = MarkKind.LIKE


class World:
    def __init__(self, ids: Iterator[int] | None = None) -> None:
        self.ids = ids or count(1)
        self.ledger, self.posts, self.outbox = InMemoryLedger(), InMemoryPosts(), CollectedEvents()
        self.people = people = InMemoryPeople()
        self.mark_store, self.comment_store = InMemoryMarks(), InMemoryComments()
        self.marks = LikesAndSaves(
            self.mark_store,
            InMemoryActiveMarks(self.mark_store),
            self.comment_store,
            self.ledger,
            self.posts,
            people,
            self.outbox,
            lambda: next(self.ids),
        )
        self.comments = Comments(self.comment_store, self.mark_store, self.ledger, self.posts, people, self.outbox)


async def test_a_like_is_counted_in_its_own_answer_before_anyone_counted_it() -> None:
    world = World()
    assert await world.marks.set(ANN, LIKE, POST, active=True) == 1
    assert await world.marks.set(BOB, LIKE, POST, active=True) == 1  # Ann's is not counted yet
    world.ledger.members[POST, LIKE] = {ANN, BOB}
    assert await world.marks.set(BOB, LIKE, POST, active=True) == 2
    assert await world.marks.set(BOB, LIKE, POST, active=False) == 1


@pytest.mark.parametrize("kind", POST_MARKS)
async def test_ones_own_mark_can_be_taken_away_from_a_hidden_post(kind: MarkKind) -> None:
    """Its author may have blocked one since, or be private now."""
    world = World()
    await world.marks.set(ANN, kind, POST, active=True)
    world.posts.hidden = {(ANN, POST), (BOB, POST)}
    with pytest.raises(NotFoundError):
        await world.marks.set(ANN, kind, POST, active=True)
    await world.marks.set(ANN, kind, POST, active=False)
    assert not world.mark_store.rows[ANN, kind, POST].active
    for who in (ANN, BOB):  # who has no mark learns nothing of the post
        with pytest.raises(NotFoundError):
            await world.marks.set(who, kind, POST, active=False)


async def test_a_comment_is_liked_once_and_the_like_taken_back() -> None:
    world = World()
    await world.comments.add(ANN, POST, 10, "on the post", None)
    for _ in range(2):
        assert await world.marks.like_comment(BOB, 10, active=True) == 1
    world.ledger.members[10, MarkKind.COMMENT_LIKE] = {BOB}
    assert await world.marks.like_comment(ANN, 10, active=True) == 2
    (shown,) = (await world.comments.list(ANN, POST, None, 0, 10)).items
    assert (shown.like_count, shown.is_liked) == (1, True)
    for _ in range(2):
        assert await world.marks.like_comment(BOB, 10, active=False) == 0
    kinds = [kind for kind in world.outbox.types() if kind.startswith("comment_like")]
    assert kinds == ["comment_like.created", "comment_like.created", "comment_like.deleted"]


async def test_only_comments_that_one_may_see_can_be_liked() -> None:
    world = World()
    for comment_id in (10, 11):
        await world.comments.add(ANN, POST, comment_id, "on the post", None)
    await world.comments.delete(ANN, 11)
    for absent in (11, 12):
        with pytest.raises(NotFoundError):
            await world.marks.like_comment(BOB, absent, active=True)
    world.people.blocked_pairs = {frozenset((ANN, BOB))}
    with pytest.raises(NotFoundError):
        await world.marks.like_comment(BOB, 10, active=True)
    world.people.blocked_pairs, world.posts.hidden = set(), {(BOB, POST)}
    for active in (True, False):
        with pytest.raises(NotFoundError):
            await world.marks.like_comment(BOB, 10, active=active)


async def test_ones_own_like_of_a_comment_can_be_taken_back_whatever_its_author_did() -> None:
    world = World()
    await world.comments.add(ANN, POST, 10, "on the post", None)
    await world.marks.like_comment(BOB, 10, active=True)
    world.people.blocked_pairs, world.posts.hidden = {frozenset((ANN, BOB))}, {(BOB, POST)}
    await world.marks.like_comment(BOB, 10, active=False)
    assert not world.mark_store.rows[BOB, MarkKind.COMMENT_LIKE, 10].active


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
async def test_the_most_liked_comments_come_first_and_each_comes_once(limit: int) -> None:
    world = World()
    likes = {10: 2, 11: 0, 12: 9, 13: 2, 14: 0, 15: 4, 16: 0}
    for comment_id, like_count in likes.items():
        await world.comments.add(BOB if comment_id == 12 else ANN, POST, comment_id, "text", None)
        world.ledger.members[comment_id, MarkKind.COMMENT_LIKE] = set(range(like_count))
    world.comment_store.likes = likes
    world.people.blocked_pairs = {frozenset((POST_AUTHOR, BOB))}
    shown, beyond = [], FIRST_POSITION
    while True:
        page = await world.comments.top(POST_AUTHOR, POST, None, beyond, limit)
        shown += [comment.comment_id for comment in page.items]
        if page.last is None:
            break
        world.ledger.members[10, MarkKind.COMMENT_LIKE] = set(range(50))  # likes come while pages are read
        beyond = top_position(*from_top_position(page.last))
    assert shown == [15, 13, 10, 11, 14, 16]


@pytest.mark.parametrize("replied_before", [False, True])
async def test_no_reply_outlives_its_comment(monkeypatch: pytest.MonkeyPatch, replied_before: bool) -> None:
    """Whichever of the two that race is faster."""
    world = World()
    await world.comments.add(ANN, POST, 10, "on the post", None)
    store = world.comment_store
    add, delete = store.add, store.delete

    async def deleted_meanwhile(comment: StoredComment, events: Sequence[EventRecord]) -> None:
        monkeypatch.undo()
        await world.comments.delete(ANN, 10)
        await add(comment, events)

    async def replied_meanwhile(comments: Sequence[StoredComment], events: Sequence[EventRecord]) -> None:
        monkeypatch.undo()
        await world.comments.add(BOB, POST, 11, "a reply", 10)
        await delete(comments, events)

    if replied_before:
        monkeypatch.setattr(store, "delete", replied_meanwhile)
        await world.comments.delete(ANN, 10)
    else:
        monkeypatch.setattr(store, "add", deleted_meanwhile)
        with pytest.raises(NotFoundError):
            await world.comments.add(BOB, POST, 11, "a reply", 10)
    assert [comment.deleted for comment in store.rows.values()] == [True, True]
    assert world.outbox.types().count("comment.created") == world.outbox.types().count("comment.deleted")


async def test_doing_it_again_changes_nothing_and_tells_nobody() -> None:
    world = World()
    for _ in range(3):
        await world.marks.set(ANN, LIKE, POST, active=True)
    for _ in range(3):
        await world.marks.set(ANN, LIKE, POST, active=False)
    assert world.outbox.types() == ["like.created", "like.deleted"]


async def test_versions_grow_though_the_clock_goes_back() -> None:
    world = World(iter([50, 10, 5, 60]))
    for active in (True, False, True, False):
        await world.marks.set(ANN, LIKE, POST, active=active)
    versions = [received.envelope.entity_version for r in world.outbox.records if (received := decode(r.value))]
    assert versions == [50, 51, 52, 60]


async def test_likers_newest_first() -> None:
    world = World()
    for user in (ANN, BOB):
        await world.marks.set(user, LIKE, POST, active=True)
    likers = await world.marks.likers(ANN, POST, MAX_ID, 10)
    assert [user.user_id for user in likers.items] == [BOB, ANN]


async def test_marks_of_a_reader_and_of_nobody() -> None:
    world = World()
    await world.marks.set(ANN, LIKE, POST, active=True)
    (mine,) = await world.marks.of(ANN, [POST])
    (nobodys,) = await world.marks.of(None, [POST])
    assert (mine.is_liked, mine.like_count) == (True, 1)
    assert (nobodys.is_liked, nobodys.like_count) == (False, 0)


async def test_what_is_not_there_can_not_be_liked_or_commented_on() -> None:
    world = World()
    with pytest.raises(NotFoundError):
        await world.marks.set(ANN, LIKE, 404, active=True)
    with pytest.raises(NotFoundError):
        await world.comments.add(ANN, 404, 1, "text", None)
    with pytest.raises(NotFoundError):
        await world.comments.record_view(ANN, 404)


@given(st.integers(0, 5), st.booleans(), st.booleans())
def test_a_shown_count_holds_the_members_own_state(others: int, known: bool, now: bool) -> None:
    counted = CountWithMember(others + known, has_member=known)
    assert counted.shown(is_member=now) == others + now


async def test_replies_go_one_level_deep() -> None:
    world = World()
    await world.comments.add(ANN, POST, 10, "a comment", None)
    await world.comments.add(BOB, POST, 11, "a reply", 10)
    with pytest.raises(TooDeepError):
        await world.comments.add(ANN, POST, 12, "too deep", 11)
    with pytest.raises(NotFoundError):
        await world.comments.add(ANN, POST, 12, "to nothing", 99)
    assert [c.comment_id for c in (await world.comments.list(ANN, POST, None, 0, 9)).items] == [10]
    assert [c.comment_id for c in (await world.comments.list(ANN, POST, 10, 0, 9)).items] == [11]


async def test_a_deleted_comment_takes_its_replies_along() -> None:
    world = World()
    await world.comments.add(ANN, POST, 10, "a comment", None)
    for reply in range(11, 75):
        await world.comments.add(BOB, POST, reply, "a reply", 10)
    await world.comments.delete(ANN, 10)
    assert world.outbox.types().count("comment.deleted") == 65
    assert all(comment.deleted for comment in world.comment_store.rows.values())
    with pytest.raises(NotFoundError):
        await world.comments.delete(ANN, 10)


@pytest.mark.parametrize(("who", "may"), [(ANN, True), (POST_AUTHOR, True), (BOB, False)])
async def test_who_may_delete_a_comment(who: int, *, may: bool) -> None:
    world = World()
    await world.comments.add(ANN, POST, 10, "a comment", None)
    if may:
        await world.comments.delete(who, 10)
    else:
        with pytest.raises(NotYourCommentError):
            await world.comments.delete(who, 10)
    assert world.comment_store.rows[10].deleted is may


async def test_what_is_hidden_can_not_be_liked_commented_on_or_listed() -> None:
    world = World()
    world.posts.hidden = {(ANN, POST)}
    acts: list[Awaitable[object]] = [
        world.marks.set(ANN, LIKE, POST, active=True),
        world.marks.set(ANN, LIKE, POST, active=False),
        world.marks.likers(ANN, POST, MAX_ID, 10),
        world.comments.add(ANN, POST, 1, "text", None),
        world.comments.list(ANN, POST, None, 0, 10),
        world.comments.record_view(ANN, POST),
    ]
    for act in acts:
        with pytest.raises(NotFoundError):
            await act
    assert world.outbox.types() == []


async def test_ones_own_comment_can_be_deleted_where_one_sees_nothing_any_more() -> None:
    world = World()
    await world.comments.add(ANN, POST, 10, "mine", None)
    await world.comments.add(POST_AUTHOR, POST, 11, "theirs", None)
    world.posts.hidden = {(ANN, POST)}
    with pytest.raises(NotFoundError):
        await world.comments.delete(ANN, 11)
    await world.comments.delete(ANN, 10)


async def test_lists_are_filled_past_people_parted_by_a_block() -> None:
    world = World()
    crowd = range(10, 19)
    for person in crowd:
        await world.marks.set(person, LIKE, POST, active=True)
        await world.comments.add(person, POST, person * 10, "text", None)
    world.people.blocked_pairs = {frozenset((ANN, person)) for person in crowd[1:8]}
    likers = await world.marks.likers(ANN, POST, MAX_ID, 2)
    assert [user.user_id for user in likers.items] == [crowd[8], crowd[0]]
    comments = await world.comments.list(ANN, POST, None, 0, 2)
    assert [comment.author.user_id for comment in comments.items] == [crowd[0], crowd[8]]
    with pytest.raises(NotFoundError):
        await world.comments.add(ANN, POST, 999, "a reply", crowd[1] * 10)
