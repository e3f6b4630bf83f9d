"""Requests, blocks, mutes and bans, over fakes."""

from collections.abc import Awaitable, Callable

import pytest

from libs.common.core.errors import NotFoundError
from libs.invalidation.table import invalidation_of
from services.user.domain.people import FRESH_FOR, Edge, ProfileChange
from services.user.errors import BlockedByYouError, CannotBlockSelfError
from services.user.tests.test_people import STAR, House

FAN, OTHER = 2, 3


async def private_star() -> House:
    house = House()
    await house.profiles.update(STAR, STAR, ProfileChange(is_private=True), None)
    house.events.records.clear()
    return house


async def requested(house: House) -> list[int]:
    return [profile.user_id for profile in (await house.graph.requests(STAR, None, 10)).items]


async def test_a_private_account_is_asked_once_and_answers_once() -> None:
    house = await private_star()
    for _ in range(2):
        seen = (await house.graph.follow(FAN, STAR)).relationship
        assert seen is not None
        assert (seen.following, seen.requested) == (False, True)
    assert await requested(house) == [FAN]
    await house.graph.approve(STAR, FAN)
    for answer in (house.graph.approve, house.graph.deny):
        with pytest.raises(NotFoundError):
            await answer(STAR, FAN)
    seen = (await house.graph.follow(FAN, STAR)).relationship
    assert seen is not None
    assert (seen.following, seen.requested) == (True, False)
    assert house.events.types() == ["follow_request.created", "follow_request.deleted", "follow.created"]


async def test_a_request_is_denied_or_withdrawn() -> None:
    house = await private_star()
    for person in (FAN, OTHER):
        await house.graph.follow(person, STAR)
    assert await requested(house) == [OTHER, FAN]
    await house.graph.deny(STAR, FAN)
    for _ in range(2):
        await house.graph.unfollow(OTHER, STAR)
    assert await requested(house) == []
    assert house.world.follows == set()
    assert house.events.types() == ["follow_request.created"] * 2 + ["follow_request.deleted"] * 2


async def test_going_public_lets_all_in_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.user.service.graph.REQUESTS_PER_TRANSACTION", 4)
    house = await private_star()
    for fan in range(2, 12):
        await house.graph.follow(fan, STAR)
    await house.graph.accept_pending(STAR)
    assert len(await requested(house)) == 10
    await house.profiles.update(STAR, STAR, ProfileChange(is_private=False), None)
    for _ in range(2):
        await house.graph.accept_pending(STAR)
    assert await requested(house) == []
    assert (await house.profiles.get(STAR, None)).follower_count == 10


async def test_lists_of_a_private_account_are_for_its_followers() -> None:
    house = await private_star()
    await house.graph.follow(FAN, STAR)
    await house.graph.approve(STAR, FAN)
    for reader in (None, OTHER):
        assert (await house.profiles.get(STAR, reader)).is_private
        with pytest.raises(NotFoundError):
            await house.graph.followers(STAR, reader, None, 10)
        with pytest.raises(NotFoundError):
            await house.graph.following(STAR, reader, None, 10)
        assert await house.profiles.authors([STAR], reader, posts=True) == []
        assert len(await house.profiles.authors([STAR], reader, posts=False)) == 1
    for reader in (FAN, STAR):
        assert len((await house.graph.followers(STAR, reader, None, 10)).items) == 1
        assert len(await house.profiles.authors([STAR], reader, posts=True)) == 1


async def test_a_block_ends_all_that_was_between_two_and_tells_it_once() -> None:
    house = await private_star()
    await house.graph.follow(STAR, FAN)
    await house.graph.follow(FAN, STAR)
    house.events.records.clear()
    for _ in range(2):
        await house.barriers.block(STAR, FAN)
    assert (house.world.follows, house.world.requests) == (set(), [])
    assert house.events.types() == ["block.created", "follow.deleted", "follow_request.deleted"]
    assert [record.key for record in house.events.records] == [str(STAR), str(STAR), str(FAN)]
    assert [invalidation_of(record.payload).active for record in house.events.records if record.payload] == [
        {STAR, FAN},
        {STAR},
        set(),
    ]


async def test_to_the_blocked_the_blocker_is_not_there() -> None:
    house = House()
    await house.barriers.block(STAR, FAN)
    attempts: list[Callable[[int, int], Awaitable[object]]] = [
        house.graph.follow,
        house.graph.unfollow,
        house.graph.remove_follower,
        lambda reader, star: house.profiles.get(star, reader),
        lambda reader, star: house.graph.followers(star, reader, None, 10),
        lambda reader, star: house.graph.following(star, reader, None, 10),
    ]
    for attempt in attempts:
        with pytest.raises(NotFoundError):
            await attempt(FAN, STAR)
    assert STAR not in [p.user_id for p in (await house.profiles.search("user", FAN, None, 100)).items]
    await house.graph.follow(STAR, OTHER)
    assert (await house.graph.followers(OTHER, FAN, None, 10)).items == []
    for reader, author in ((FAN, STAR), (STAR, FAN)):
        for posts in (True, False):
            assert await house.profiles.authors([author], reader, posts=posts) == []


async def test_the_blocker_sees_whom_to_unblock() -> None:
    house = House()
    await house.barriers.block(STAR, FAN)
    seen = (await house.profiles.get(FAN, STAR)).relationship
    assert seen is not None
    assert seen.blocking
    assert [p.user_id for p in (await house.barriers.blocked(STAR, None, 10)).items] == [FAN]
    with pytest.raises(BlockedByYouError):
        await house.graph.follow(STAR, FAN)
    for _ in range(2):
        await house.barriers.unblock(STAR, FAN)
    await house.graph.follow(FAN, STAR)
    assert house.events.types() == ["block.created", "block.deleted", "follow.created"]


async def test_whoever_was_blocked_first_can_block_too() -> None:
    """Else the one who is pursued could not shut the door, and the pursuer would decide when it opens."""
    house = House()
    await house.barriers.block(FAN, STAR)
    await house.barriers.block(STAR, FAN)
    await house.barriers.unblock(FAN, STAR)
    with pytest.raises(NotFoundError):
        await house.graph.follow(FAN, STAR)
    with pytest.raises(NotFoundError):
        await house.profiles.get(STAR, FAN)


async def test_blocks_and_mutes_of_a_banned_account_are_set_and_lifted() -> None:
    house = House()
    house.world.banned = {STAR}
    for set_, lift, tie in (
        (house.barriers.block, house.barriers.unblock, house.world.blocks),
        (house.barriers.mute, house.barriers.unmute, house.world.mutes),
    ):
        await set_(FAN, STAR)
        assert tie == [Edge(FAN, STAR)]
        await lift(FAN, STAR)
        assert tie == []


async def test_one_cannot_block_or_mute_oneself_and_nobody_leaves_no_trace() -> None:
    house = House()
    for act in (house.barriers.block, house.barriers.unblock, house.barriers.mute, house.barriers.unmute):
        with pytest.raises(CannotBlockSelfError):
            await act(STAR, STAR)
        await act(STAR, 999)
    assert house.world.blocks == house.world.mutes == []
    assert house.events.types() == []


async def test_a_mute_keeps_someone_out_of_the_feed_and_of_nothing_else() -> None:
    house = House()
    await house.graph.follow(FAN, STAR)
    house.clock.now += FRESH_FOR
    for _ in range(2):
        await house.barriers.mute(FAN, STAR)
    assert (await house.audiences.followees(FAN)).ids == []
    seen = (await house.profiles.get(STAR, FAN)).relationship
    assert seen is not None
    assert (seen.following, seen.muting) == (True, True)
    assert len(await house.profiles.authors([STAR], FAN, posts=True)) == 1
    assert [p.user_id for p in (await house.barriers.muted(FAN, None, 10)).items] == [STAR]
    for _ in range(2):
        await house.barriers.unmute(FAN, STAR)
    found = await house.audiences.followees(FAN)
    assert (found.ids, found.pull) == ([STAR], [STAR])
    house.clock.now += FRESH_FOR
    assert (await house.audiences.followees(FAN)).pull == []
    assert house.events.types() == ["follow.created", "mute.created", "mute.deleted"]


async def test_who_is_followed_is_pulled_until_the_posts_have_come() -> None:
    house = await private_star()
    await house.graph.follow(FAN, STAR)
    house.clock.step(days=1)
    await house.graph.approve(STAR, FAN)
    assert (await house.audiences.followees(FAN)).pull == [STAR]
    house.clock.now += FRESH_FOR
    assert (await house.audiences.followees(FAN)).pull == []


async def test_lists_of_requests_page_without_those_who_are_banned() -> None:
    house = await private_star()
    for fan in range(2, 9):
        await house.graph.follow(fan, STAR)
    house.world.banned = {4, 8}
    seen, below, pages = [], None, 0
    while pages == 0 or below is not None:
        page = await house.graph.requests(STAR, below, 2)
        seen += [profile.user_id for profile in page.items]
        below, pages = page.last, pages + 1
    assert (seen, pages) == ([7, 6, 5, 3, 2], 3)
    with pytest.raises(NotFoundError):
        await house.graph.approve(STAR, 4)


async def test_relation_tells_how_a_reader_stands_to_an_author() -> None:
    house = House()
    await house.graph.follow(FAN, STAR)
    await house.barriers.mute(FAN, STAR)
    relation = await house.audiences.relation(FAN, STAR)
    assert relation is not None
    assert (relation.following, relation.muted) == (True, True)
    await house.barriers.block(STAR, FAN)
    for edge in (Edge(FAN, STAR), Edge(STAR, FAN)):
        relation = await house.audiences.relation(edge.from_id, edge.to_id)
        assert relation is not None
        assert (relation.following, relation.blocked) == (False, True)
    assert await house.audiences.relation(FAN, 999) is None
