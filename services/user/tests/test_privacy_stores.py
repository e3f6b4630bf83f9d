"""What is between people, on PostgreSQL: rules, counts, events, races."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import pytest

from libs.common.core.errors import NotFoundError
from libs.common.stores.postgres import Postgres
from libs.common.testing.events import CollectedEvents
from libs.contracts.events import UserBanned, UserUnbanned, UserUpdated
from libs.contracts.records import EventRecord
from services.user.domain.accounts import Login, RotationResult
from services.user.domain.people import FRESH_FOR, Edge, FollowedAuthors, ProfileChange, ReaderRelation, Relationship
from services.user.errors import BlockedByYouError
from services.user.service.events import edge_records
from services.user.stores.postgres_accounts import PostgresAccountStore, PostgresSessionStore
from services.user.stores.postgres_audience import PostgresAudienceStore
from services.user.stores.postgres_graph import PostgresGraphStore
from services.user.stores.postgres_lists import PostgresPeopleLists
from services.user.stores.postgres_profiles import PostgresProfileStore
from services.user.tests.test_stores import NOW, PATHS, RUN, _hash, counts, follow, people, person, unfollow

pytestmark = pytest.mark.stores
ROUNDS = 8

EVENTS = CollectedEvents()
RECORD = edge_records(EVENTS)


def types(records: list[EventRecord]) -> list[str]:
    return [dict(record.headers)["type"].decode() for record in records]


async def set_private(postgres: Postgres, user_id: int, *, private: bool) -> None:
    change = ProfileChange(is_private=private)
    await PostgresProfileStore(postgres, PATHS).update(
        user_id, change, 5, lambda v: EVENTS.record(UserUpdated(user_id=user_id), user_id, v)
    )


async def set_banned(postgres: Postgres, user_id: int, *, banned: bool) -> list[EventRecord]:
    kind = UserBanned if banned else UserUnbanned
    accounts = PostgresAccountStore(postgres)
    return await accounts.set_banned(
        user_id, NOW, lambda v: EVENTS.record(kind(user_id=user_id), user_id, v), banned=banned
    )


async def block(graph: PostgresGraphStore, blocker: int, blocked: int) -> list[EventRecord]:
    return await graph.block(Edge(blocker, blocked), NOW)


async def admit(graph: PostgresGraphStore, target: int, limit: int = 3) -> None:
    while await graph.accept_some(target, limit, NOW):
        pass


async def seen_from(postgres: Postgres, reader: int, other: int) -> Relationship | None:
    found = await PostgresProfileStore(postgres, PATHS).profiles([other], reader)
    return found[0].relationship if found else None


async def outcomes(*acts: Awaitable[Any]) -> list[type[Exception]]:
    """Run calls concurrently and return the types of expected errors. Other errors are raised."""
    errors = [e for e in await asyncio.gather(*acts, return_exceptions=True) if isinstance(e, BaseException)]
    for error in errors:
        if not isinstance(error, NotFoundError | BlockedByYouError):
            raise error
    return [type(error) for error in errors if isinstance(error, Exception)]


async def test_a_request_waits_and_is_answered_once(postgres: Postgres) -> None:
    graph, lists = PostgresGraphStore(postgres, RECORD), PostgresPeopleLists(postgres)
    fan, other, star = await people(postgres, 3)
    await set_private(postgres, star, private=True)
    assert types(await follow(graph, fan, star)) == ["follow_request.created"]
    assert await follow(graph, fan, star) == []
    await follow(graph, other, star)
    assert [user for _, user in await lists.requesters(star, None, 10)] == [other, fan]
    [(place, _), _] = await lists.requesters(star, None, 10)
    assert [user for _, user in await lists.requesters(star, place, 10)] == [fan]
    assert await seen_from(postgres, fan, star) == Relationship(False, False, requested=True)
    assert types(await graph.accept(Edge(fan, star), NOW)) == ["follow_request.deleted", "follow.created"]
    assert await graph.accept(Edge(fan, star), NOW) == []
    assert types(await graph.deny(Edge(other, star), NOW)) == ["follow_request.deleted"]
    assert await graph.deny(Edge(other, star), NOW) == []
    assert await follow(graph, fan, star) == []
    assert await counts(postgres, star) == (1, 0, 0)
    assert types(await unfollow(graph, fan, star)) == ["follow.deleted"]
    assert await counts(postgres, star) == (0, 0, 0)


async def test_who_is_not_there_can_not_be_followed(postgres: Postgres) -> None:
    graph, (fan, star) = PostgresGraphStore(postgres, RECORD), await people(postgres, 2)
    with pytest.raises(NotFoundError):
        await follow(graph, fan, 1)
    await set_banned(postgres, star, banned=True)
    with pytest.raises(NotFoundError):
        await follow(graph, fan, star)
    await set_banned(postgres, star, banned=False)
    await block(graph, star, fan)
    with pytest.raises(NotFoundError):
        await follow(graph, fan, star)
    with pytest.raises(BlockedByYouError):
        await follow(graph, star, fan)


async def test_a_block_and_all_it_ends_are_one(postgres: Postgres) -> None:
    graph, (ann, bob) = PostgresGraphStore(postgres, RECORD), await people(postgres, 2)
    await set_private(postgres, ann, private=True)
    await follow(graph, ann, bob)
    await follow(graph, bob, ann)
    records = await block(graph, ann, bob)
    assert types(records) == ["block.created", "follow.deleted", "follow_request.deleted"]
    kept = await postgres.fetch("SELECT event_id FROM outbox WHERE event_id = ANY($1)", [r.event_id for r in records])
    assert len(kept) == 3
    assert await block(graph, ann, bob) == []
    assert [await counts(postgres, one) for one in (ann, bob)] == [(0, 0, 0), (0, 0, 0)]
    assert await PostgresPeopleLists(postgres).requesters(ann, None, 10) == []
    assert await seen_from(postgres, ann, bob) == Relationship(False, False, blocking=True)
    assert await seen_from(postgres, bob, ann) is None
    assert types(await graph.unblock(Edge(ann, bob), NOW)) == ["block.deleted"]
    assert await graph.unblock(Edge(ann, bob), NOW) == []


async def test_a_block_or_mute_of_nobody_leaves_no_row(postgres: Postgres) -> None:
    graph, (ann, bob) = PostgresGraphStore(postgres, RECORD), await people(postgres, 2)
    assert await block(graph, ann, 1) == []
    assert await graph.mute(Edge(ann, 1), NOW) == []
    assert await postgres.fetch("SELECT blocked FROM blocks WHERE blocker = $1", ann) == []
    await set_banned(postgres, bob, banned=True)
    assert types(await block(graph, ann, bob)) == ["block.created"]
    assert types(await graph.mute(Edge(ann, bob), NOW)) == ["mute.created"]


async def test_both_follow_and_both_block_at_once(postgres: Postgres) -> None:
    graph = PostgresGraphStore(postgres, RECORD)
    for _ in range(ROUNDS):
        ann, bob = await people(postgres, 2)
        await asyncio.gather(follow(graph, ann, bob), follow(graph, bob, ann))
        errors = await outcomes(*(block(graph, *pair) for pair in ((ann, bob), (bob, ann), (ann, bob), (bob, ann))))
        assert errors == []
        lists = PostgresPeopleLists(postgres)
        assert await postgres.fetch("SELECT FROM blocks WHERE blocker = $1 AND blocked = $2", ann, bob)
        assert await postgres.fetch("SELECT FROM blocks WHERE blocker = $1 AND blocked = $2", bob, ann)
        assert await lists.followers(ann, None, None, 10) == []
        assert [await counts(postgres, one) for one in (ann, bob)] == [(0, 0, 0), (0, 0, 0)]


@pytest.mark.parametrize("private", [False, True])
async def test_no_follow_is_left_between_the_blocked(postgres: Postgres, *, private: bool) -> None:
    graph, audience = PostgresGraphStore(postgres, RECORD), PostgresAudienceStore(postgres)
    for _ in range(ROUNDS):
        fan, star = await people(postgres, 2)
        await set_private(postgres, star, private=private)
        await follow(graph, fan, star)
        await outcomes(
            unfollow(graph, fan, star),
            follow(graph, fan, star),
            graph.accept(Edge(fan, star), NOW),
            block(graph, star, fan),
            follow(graph, star, fan),
        )
        relation = await audience.relation(fan, star)
        assert relation == ReaderRelation(following=False, muted=False, blocked=True, banned=False, private=private)
        assert [await counts(postgres, one) for one in (fan, star)] == [(0, 0, 0), (0, 0, 0)]
        assert await postgres.fetch("SELECT FROM follow_requests WHERE target IN ($1, $2)", fan, star) == []


async def test_nobody_keeps_waiting_at_an_account_that_went_public(postgres: Postgres) -> None:
    graph, lists = PostgresGraphStore(postgres, RECORD), PostgresPeopleLists(postgres)
    star, fans = await person(postgres), await people(postgres, 12)
    await set_private(postgres, star, private=True)
    for fan in fans[:6]:
        await follow(graph, fan, star)
    await admit(graph, star)
    assert len(await lists.requesters(star, None, 20)) == 6

    async def go_public() -> None:
        await set_private(postgres, star, private=False)
        await asyncio.gather(admit(graph, star), admit(graph, star))

    late = (follow(graph, fan, star) for fan in fans[4:])
    await outcomes(go_public(), *late, block(graph, star, fans[0]), unfollow(graph, fans[1], star))
    assert await lists.requesters(star, None, 20) == []
    followers = await lists.followers(star, None, None, 20)
    assert set(followers) >= set(fans[2:])
    assert fans[0] not in followers
    assert (await counts(postgres, star))[0] == len(followers)


async def test_accepting_many_counts_each_and_versions_grow(postgres: Postgres) -> None:
    graph, star, fans = PostgresGraphStore(postgres, RECORD), await person(postgres), await people(postgres, 5)
    await set_private(postgres, star, private=True)
    for fan in fans:
        await follow(graph, fan, star)
    await set_private(postgres, star, private=False)
    records = await graph.accept_some(star, 3, NOW)
    assert types(records) == ["follow_request.deleted"] * 3 + ["follow.created"] * 3
    assert [record.key for record in records] == [str(fan) for fan in fans[:3]] * 2
    assert len({record.event_id for record in records}) == 6
    assert await counts(postgres, star) == (3, 0, 0)
    assert [(await counts(postgres, fan))[1] for fan in fans] == [1, 1, 1, 0, 0]


async def test_muted_and_banned_followees_are_in_no_feed(postgres: Postgres) -> None:
    graph, audience, lists = (
        PostgresGraphStore(postgres, RECORD),
        PostgresAudienceStore(postgres),
        PostgresPeopleLists(postgres),
    )
    fan, star, other = await people(postgres, 3)
    for followee in (star, other):
        await follow(graph, fan, followee)
    assert types(await graph.mute(Edge(fan, star), NOW)) == ["mute.created"]
    assert await graph.mute(Edge(fan, star), NOW) == []
    assert (await audience.followees(fan, NOW)).ids == [other]
    assert [user for _, user in await lists.muted(fan, None, 10)] == [star]
    later = NOW + timedelta(days=1)
    assert types(await graph.unmute(Edge(fan, star), later)) == ["mute.deleted"]
    assert await graph.unmute(Edge(fan, star), later) == []
    for now, pulled in ((later, [star]), (later + FRESH_FOR, [])):
        found = await audience.followees(fan, now)
        assert found == FollowedAuthors(found.ids, pulled, pulled)
        assert sorted(found.ids) == [star, other]
    await set_banned(postgres, star, banned=True)
    assert (await audience.followees(fan, later)).ids == [other]
    relation = await audience.relation(fan, star)
    assert relation == ReaderRelation(following=True, muted=False, blocked=False, banned=True, private=False)
    assert await audience.relation(fan, 1) is None
    await set_banned(postgres, star, banned=False)
    assert (await audience.followees(fan, NOW + timedelta(days=6))).pull == [star]
    assert (await audience.followees(fan, NOW + timedelta(days=8))).pull == []


async def test_lists_and_search_leave_out_who_may_not_be_seen(postgres: Postgres) -> None:
    graph, lists, store = (
        PostgresGraphStore(postgres, RECORD),
        PostgresPeopleLists(postgres),
        PostgresProfileStore(postgres, PATHS),
    )
    prefix = f"seen{RUN}"
    star, reader = await person(postgres), await person(postgres)
    plain, blocker, banned = [await person(postgres, prefix + name) for name in ("a", "b", "c")]
    for one in (plain, blocker, banned):
        await follow(graph, one, star)
        await follow(graph, star, one)
        await graph.mute(Edge(reader, one), NOW)
        await follow(graph, reader, one)
    await set_banned(postgres, banned, banned=True)
    await block(graph, blocker, reader)
    assert await lists.followers(star, reader, None, 10) == [plain]
    assert await lists.following(star, reader, None, 10) == [plain]
    assert await lists.mutuals(star, reader, None, 10) == [plain]
    assert await lists.followers(star, None, None, 10) == [blocker, plain]
    assert [user for _, user in await lists.muted(reader, None, 10)] == [plain]
    assert [user for _, user in await lists.blocked(blocker, None, 10)] == [reader]
    assert await store.search(prefix, reader, "", 10) == [plain]
    assert await store.search(prefix, None, "", 10) == [plain, blocker]
    assert [p.user_id for p in await store.profiles([plain, blocker, banned], reader)] == [plain]


async def test_a_banned_account_is_shut_out_until_it_is_unbanned(postgres: Postgres) -> None:
    accounts, sessions, user_id = PostgresAccountStore(postgres), PostgresSessionStore(postgres), await person(postgres)
    assert types(await set_banned(postgres, user_id, banned=True)) == ["user.banned"]
    assert await set_banned(postgres, user_id, banned=True) == []
    found = await accounts.credentials(Login("email", f"person{user_id}@x.org"))
    assert found is not None
    assert found.banned
    assert not await sessions.is_active(user_id, user_id, NOW)
    assert (await sessions.rotate(_hash(user_id), b"no%d" % user_id, NOW)).result is RotationResult.INVALID
    assert types(await set_banned(postgres, user_id, banned=False)) == ["user.unbanned"]
    assert await sessions.is_active(user_id, user_id, NOW)
    assert (await sessions.rotate(_hash(user_id), b"yes%d" % user_id, NOW)).result is RotationResult.ROTATED
