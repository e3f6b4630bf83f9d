"""The PostgreSQL adapters, on PostgreSQL."""

import asyncio
import hashlib
import itertools
import time
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from devstack.settings import ROOT
from libs.common.core.ids import MAX_ID
from libs.common.core.settings import Settings
from libs.common.stores.migrations import migrate
from libs.common.stores.postgres import Postgres, postgres_migrations
from libs.common.testing.events import CollectedEvents
from libs.common.testing.eventually import eventually
from libs.contracts.events import GraphEvent, UserCreated, UserUpdated
from libs.contracts.records import EventRecord
from libs.media.paths import SecretPaths
from services.user.domain.accounts import (
    ATTEMPT_LIFE,
    REFRESH_TOKEN_LIFE,
    DeviceSession,
    EarlierRegistration,
    Login,
    NewAccount,
    RegistrationAttempt,
    RotationResult,
)
from services.user.domain.people import (
    FRESH_FOR,
    AccountCounts,
    AuthorAudience,
    AuthoredPost,
    Avatar,
    Edge,
    ProfileChange,
    Relationship,
)
from services.user.errors import (
    EmailTakenError,
    InvalidCredentialsError,
    PhoneTakenError,
    UsernameTakenError,
    WrongPasswordError,
)
from services.user.ports import GraphStore
from services.user.service.events import edge_records
from services.user.settings import UserSettings
from services.user.stores.postgres_accounts import PostgresAccountStore, PostgresSessionStore
from services.user.stores.postgres_audience import PostgresAudienceStore
from services.user.stores.postgres_graph import PostgresGraphStore
from services.user.stores.postgres_lists import PostgresPeopleLists
from services.user.stores.postgres_profiles import PostgresAuthoredPostStore, PostgresProfileStore
from services.user.stores.postgres_reconciliation import PostgresAccountCountStore

pytestmark = pytest.mark.stores
PATHS = SecretPaths("a secret")
NOW = datetime(2025, 6, 1, tzinfo=UTC)
_ids = itertools.count(time.time_ns() // 1000)  # also in a database that outlives the run
RUN = f"{next(_ids):x}"

MIGRATIONS = ROOT / "services" / "user" / "migrations"
EVENTS = CollectedEvents()
RECORD = edge_records(EVENTS)


def _hash(user_id: int) -> bytes:
    return hashlib.sha256(str(user_id).encode()).digest()


async def person(postgres: Postgres, name: str = "") -> int:
    user_id = next(_ids)
    name = name or f"person{user_id}"
    account = NewAccount(user_id, name, name, f"{name}@x.org", f"+4912345{user_id}", "hash", user_id, created_at=NOW)
    session = DeviceSession(user_id, user_id, "test", NOW, NOW)
    record = EVENTS.record(UserCreated(user_id=user_id), user_id, user_id)
    await PostgresAccountStore(postgres).open(account, session, _hash(user_id), record)
    return user_id


async def people(postgres: Postgres, count: int) -> list[int]:
    return [await person(postgres) for _ in range(count)]


async def follow(graph: GraphStore, follower: int, followee: int) -> list[EventRecord]:
    edge = Edge(follower, followee)
    return await graph.add(edge, NOW)


async def unfollow(graph: GraphStore, follower: int, followee: int) -> list[EventRecord]:
    edge = Edge(follower, followee)
    return await graph.remove(edge, NOW)


async def counts(postgres: Postgres, user_id: int) -> tuple[int, int, int]:
    [profile] = await PostgresProfileStore(postgres, PATHS).profiles([user_id], None)
    return profile.follower_count, profile.following_count, profile.post_count


async def test_migrating_twice_and_at_once_runs_each_file_once(user_settings: Settings) -> None:
    database = f"{user_settings.namespace}migrated_at_once_{RUN}"
    ran = await asyncio.gather(*(migrate(postgres_migrations(user_settings, database), MIGRATIONS) for _ in range(3)))
    files = len(list(MIGRATIONS.glob("*.sql"))) + 1  # and the one that all services have
    assert sorted(len(names) for names in ran) == [0, 0, files]
    assert await migrate(postgres_migrations(user_settings, database), MIGRATIONS) == []


async def test_an_account_is_found_by_each_name_and_taken_once(postgres: Postgres) -> None:
    name = f"findme_{RUN}"
    store, user_id = PostgresAccountStore(postgres), await person(postgres, name)
    for login in (name, f"{name}@x.org", f"+4912345{user_id}"):
        found = await store.credentials(Login.parse(login))
        assert found is not None
        assert found.user_id == user_id
    assert await store.credentials(Login("username", "nobody")) is None
    for username, email, phone, error in (
        (name, f"a{RUN}@x.org", None, UsernameTakenError),
        (f"other{RUN}", f"{name}@x.org", None, EmailTakenError),
        (f"other{RUN}", None, f"+4912345{user_id}", PhoneTakenError),
    ):
        other = next(_ids)
        account = NewAccount(other, username, username, email, phone, "hash", other, created_at=NOW)
        session, record = (
            DeviceSession(other, other, "", NOW, NOW),
            EVENTS.record(UserCreated(user_id=other), other, other),
        )
        with pytest.raises(error):
            await store.open(account, session, _hash(other), record)
        assert await postgres.fetchrow("SELECT FROM outbox WHERE event_id = $1", record.event_id) is None


async def test_an_attempt_to_register_is_found_for_a_day(postgres: Postgres) -> None:
    store, (user_id, other) = PostgresAccountStore(postgres), (next(_ids), next(_ids))
    key = f"key{user_id}"

    async def open_account(one: int, now: datetime, attempt: RegistrationAttempt | None) -> None:
        account = NewAccount(one, f"r{one:x}", "", f"r{one:x}@x.org", None, "hash", one, now, attempt)
        session = DeviceSession(one, one, "", now, now)
        await store.open(account, session, _hash(one), EVENTS.record(UserCreated(user_id=one), one, one))

    await open_account(user_id, NOW, RegistrationAttempt(key, b"form"))
    assert await store.registered(key, f"r{user_id:x}") == EarlierRegistration(user_id, b"form")
    assert await store.registered(key, "another") is None
    await open_account(other, NOW + ATTEMPT_LIFE + timedelta(seconds=1), RegistrationAttempt(key, b"form"))
    assert await store.registered(key, f"r{user_id:x}") is None


async def test_rotation_repeats_until_the_successor_is_presented(postgres: Postgres) -> None:
    store, user_id = PostgresSessionStore(postgres), await person(postgres)
    first, second, third = _hash(user_id), b"second%d" % user_id, b"third%d" % user_id
    rotated = await store.rotate(first, second, NOW)
    assert (rotated.result, rotated.user_id, rotated.session_id) == (RotationResult.ROTATED, user_id, user_id)
    again = await asyncio.gather(*(store.rotate(first, second, NOW + timedelta(days=1)) for _ in range(20)))
    assert {rotation.result for rotation in again} == {RotationResult.REPEATED}
    assert len(await postgres.fetch("SELECT FROM refresh_tokens WHERE session_id = $1", user_id)) == 2
    assert (await store.rotate(second, third, NOW)).result is RotationResult.ROTATED
    assert (await store.rotate(first, second, NOW)).result is RotationResult.REUSED
    assert (await store.rotate(third, b"fourth%d" % user_id, NOW)).result is RotationResult.INVALID
    assert not await store.is_active(user_id, user_id, NOW)
    assert not await store.end(user_id, user_id, NOW)
    assert await store.active(user_id, None, 10, NOW) == []


async def test_of_several_tokens_that_an_older_version_gave_out_one_goes_on(postgres: Postgres) -> None:
    store, user_id = PostgresSessionStore(postgres), await person(postgres)
    heir = b"heir%d" % user_id
    sql = "INSERT INTO refresh_tokens (token_hash, session_id, expires_at) VALUES ($1, $2, $3)"
    await postgres.fetch(sql, heir, user_id, NOW + timedelta(days=1))
    assert (await store.rotate(_hash(user_id), b"next%d" % user_id, NOW)).result is RotationResult.ROTATED
    assert (await store.rotate(heir, b"of heir%d" % user_id, NOW)).result is RotationResult.REUSED


async def test_the_session_of_a_token_ends_once(postgres: Postgres) -> None:
    store, user_id = PostgresSessionStore(postgres), await person(postgres)
    assert [await store.end_by_token(_hash(user_id), NOW) for _ in range(2)] == [user_id, None]
    assert not await store.is_active(user_id, user_id, NOW)


async def test_a_new_password_ends_other_sessions(postgres: Postgres) -> None:
    accounts, sessions, user_id = PostgresAccountStore(postgres), PostgresSessionStore(postgres), await person(postgres)
    other = next(_ids)
    await sessions.start(DeviceSession(other, user_id, "other", NOW, NOW), _hash(other), "hash")
    assert [s.session_id for s in await sessions.active(user_id, None, 10, NOW)] == [other, user_id]
    assert await accounts.set_password(user_id, "hash", "new", user_id, NOW) == [other]
    with pytest.raises(WrongPasswordError):
        await accounts.set_password(user_id, "hash", "newer", other, NOW)
    with pytest.raises(InvalidCredentialsError):
        await sessions.start(DeviceSession(next(_ids), user_id, "late", NOW, NOW), b"late%d" % user_id, "hash")
    assert [s.session_id for s in await sessions.active(user_id, None, 10, NOW)] == [user_id]
    found = await accounts.credentials_of(user_id)
    assert found is not None
    assert found.password_hash == "new"


@pytest.mark.parametrize("limit", [3, 5, 1_000])
async def test_usable_sessions_are_counted_page_by_page(postgres: Postgres, limit: int) -> None:
    sessions = PostgresSessionStore(postgres)

    async def count(now: datetime) -> int:
        total, after_id = 0, None
        while True:
            found, last_id = await sessions.count_usable(after_id, limit, now)
            total += found
            if last_id is None:
                return total
            assert last_id > (after_id or 0)
            after_id = last_id

    expired_at = NOW + REFRESH_TOKEN_LIFE
    before, later = await count(NOW), await count(expired_at)
    [ended, banned, *_] = await people(postgres, 5)
    assert await count(NOW) == before + 5
    await sessions.end(ended, ended, NOW)
    await postgres.execute("UPDATE users SET banned_at = $2 WHERE user_id = $1", banned, NOW)
    assert await count(NOW) == before + 3
    assert await count(expired_at) == later


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET password_hash = 'new' WHERE user_id = $1",
        "UPDATE users SET banned_at = now() WHERE user_id = $1",
    ],
)
async def test_no_session_starts_beside_a_new_password_or_a_ban(postgres: Postgres, change: str) -> None:
    sessions, user_id = PostgresSessionStore(postgres), await person(postgres)
    other = next(_ids)

    async def waits() -> bool:
        sql = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return await postgres.fetchrow(sql) is not None

    async with postgres.transaction() as connection:
        await connection.execute(change, user_id)
        late = asyncio.create_task(sessions.start(DeviceSession(other, user_id, "", NOW, NOW), _hash(other), "hash"))
        await eventually(waits)
    with pytest.raises(InvalidCredentialsError):
        await late
    assert [s.session_id for s in await sessions.active(user_id, None, 10, NOW)] == [user_id]


async def test_counts_are_exact_under_concurrent_follows_and_unfollows(postgres: Postgres) -> None:
    graph, star, fans = PostgresGraphStore(postgres, RECORD), await person(postgres), await people(postgres, 20)

    async def change_mind(fan: int, stays: bool) -> None:
        await asyncio.gather(follow(graph, fan, star), follow(graph, star, fan), follow(graph, fan, star))
        await unfollow(graph, fan, star)
        if stays:
            await follow(graph, fan, star)

    await asyncio.gather(*(change_mind(fan, stays=nth % 4 != 0) for nth, fan in enumerate(fans)))
    assert await counts(postgres, star) == (15, 20, 0)
    assert [(await counts(postgres, fan))[:2] for fan in fans] == [(1, nth % 4 != 0) for nth in range(20)]
    rows = await postgres.fetch("SELECT FROM user_counts WHERE user_id = $1", star)
    assert len(rows) > 1


async def test_an_edge_and_its_event_are_one_and_versions_grow(postgres: Postgres) -> None:
    graph, (fan, star) = PostgresGraphStore(postgres, RECORD), await people(postgres, 2)
    records = [await follow(graph, fan, star), await unfollow(graph, fan, star), await follow(graph, fan, star)]
    assert await follow(graph, fan, star) == []
    kept = await postgres.fetch(
        "SELECT value FROM outbox WHERE key = $1 AND topic = 'graph' ORDER BY sequence", str(fan)
    )
    assert [row["value"] for row in kept] == [record.value for [record] in records]
    versions = [orjson.loads(row["value"])["entity_version"] for row in kept]
    assert versions == sorted(set(versions))


async def test_what_fails_after_the_edge_leaves_no_edge(postgres: Postgres) -> None:
    def broken(kind: type[GraphEvent], edge: Edge, version: int) -> EventRecord:
        raise ValueError(version)

    graph, (fan, star) = PostgresGraphStore(postgres, broken), await people(postgres, 2)
    with pytest.raises(ValueError, match=r"\d+"):
        await graph.add(Edge(fan, star), NOW)
    assert await PostgresAudienceStore(postgres).follower_ids(star, 0, MAX_ID, 10) == []
    assert await counts(postgres, star) == (0, 0, 0)


async def test_follower_pages_and_ranges_hold_each_once(postgres: Postgres) -> None:
    graph, star, fans = PostgresGraphStore(postgres, RECORD), await person(postgres), await people(postgres, 7)
    audience, lists = PostgresAudienceStore(postgres), PostgresPeopleLists(postgres)
    assert await audience.follower_ranges(star, 3) == []
    assert await audience.follower_ids(star, 0, MAX_ID, 10) == []
    for fan in fans:
        await follow(graph, fan, star)
    ranges = await audience.follower_ranges(star, 3)
    assert ranges == [(0, fans[2]), (fans[2], fans[5]), (fans[5], fans[6])]
    assert [await audience.follower_ids(star, *r, 10) for r in ranges] == [fans[:3], fans[3:6], fans[6:]]
    assert await audience.follower_ids(star, fans[0], fans[5], 2) == fans[1:3]
    assert await lists.followers(star, None, fans[5], 3) == [fans[4], fans[3], fans[2]]
    await follow(graph, fans[0], fans[3])
    assert await lists.mutuals(star, fans[0], None, 10) == [fans[3]]
    assert await lists.following(fans[0], None, None, 10) == [fans[3], star]


async def test_mode_is_set_once_and_lingers(postgres: Postgres) -> None:
    audience, (fan, star) = PostgresAudienceStore(postgres), await people(postgres, 2)
    await follow(PostgresGraphStore(postgres, RECORD), fan, star)
    later = NOW + FRESH_FOR
    assert (await audience.followees(fan, later - timedelta(seconds=1))).pull == [star]
    assert (await audience.followees(fan, later)).pull == []
    assert await audience.set_mode(star, 0, "pull", later)
    assert not await audience.set_mode(star, 0, "push", later)
    assert (await audience.followees(fan, later)).pull == [star]
    assert await audience.set_mode(star, 1, "push", later)
    assert (await audience.followees(fan, later + timedelta(days=6))).pull == [star]
    found = await audience.followees(fan, later + timedelta(days=8))
    assert (found.ids, found.pull) == ([star], [])
    assert await audience.audiences([next(_ids)], 1) == {}


async def test_the_followers_of_small_push_authors_come_along(postgres: Postgres) -> None:
    graph, audience, (small, large, *fans) = (
        PostgresGraphStore(postgres, RECORD),
        PostgresAudienceStore(postgres),
        await people(postgres, 5),
    )
    await follow(graph, fans[0], small)
    for fan in fans:
        await follow(graph, fan, large)
    found = await audience.audiences([small, large], 2)
    assert found == {small: AuthorAudience(1, "push", 0, [fans[0]]), large: AuthorAudience(3, "push", 0, None)}
    assert await audience.set_mode(small, 0, "pull", NOW)
    assert (await audience.audiences([small], 2))[small].followers is None


async def test_profiles_are_seen_from_the_reader(postgres: Postgres) -> None:
    graph, store, (fan, star) = (
        PostgresGraphStore(postgres, RECORD),
        PostgresProfileStore(postgres, PATHS),
        await people(postgres, 2),
    )
    await follow(graph, fan, star)
    seen = {profile.user_id: profile.relationship for profile in await store.profiles([fan, star, 1], fan)}
    assert seen == {fan: None, star: Relationship(following=True, followed_by=False)}


async def test_search_is_by_prefix_and_an_underscore_is_no_wildcard(postgres: Postgres) -> None:
    store = PostgresProfileStore(postgres, PATHS)
    prefix = f"{RUN}_"
    wanted = [await person(postgres, prefix + name) for name in ("a", "b", "z9")]
    await person(postgres, f"{RUN}xa")
    assert await store.search(prefix, None, "", 10) == wanted
    assert await store.search(prefix, None, f"{prefix}a", 1) == [wanted[1]]


async def test_a_profile_changes_with_its_event(postgres: Postgres) -> None:
    store, user_id = PostgresProfileStore(postgres, PATHS), await person(postgres)

    async def change(change: ProfileChange) -> int:
        [record] = await store.update(
            user_id, change, 5, lambda version: EVENTS.record(UserUpdated(user_id=user_id), user_id, version)
        )
        assert await postgres.fetchrow("SELECT FROM outbox WHERE event_id = $1", record.event_id) is not None
        return int(orjson.loads(record.value)["entity_version"])

    first = await change(ProfileChange(bio="hello", sets_avatar=True, avatar=Avatar(7, "a/7")))
    second = await change(ProfileChange(display_name="New"))
    [profile] = await store.profiles([user_id], None)
    assert (profile.display_name, profile.bio, profile.avatar_path) == ("New", "hello", "a/7")
    assert second > first
    await change(ProfileChange(sets_avatar=True))
    [profile] = await store.profiles([user_id], None)
    assert profile.avatar_path is None


async def test_posts_are_counted_once_in_any_order_and_delete_wins(postgres: Postgres) -> None:
    store, user_id = PostgresAuthoredPostStore(postgres), await person(postgres)
    created = [AuthoredPost(user_id, post, deleted=False) for post in (1, 2, 3, 4)]
    deleted = [AuthoredPost(user_id, post, deleted=True) for post in (2, 5)]
    await store.apply(deleted[1:])
    await store.apply([*created, AuthoredPost(user_id, 5, deleted=False)])
    assert (await counts(postgres, user_id))[2] == 4
    for _ in range(2):
        await asyncio.gather(store.apply(deleted), store.apply(created), store.apply(list(reversed(created))))
    assert (await counts(postgres, user_id))[2] == 3
    await store.apply([AuthoredPost(user_id, 6, deleted=False), AuthoredPost(user_id, 6, deleted=True)])
    assert (await counts(postgres, user_id))[2] == 3


async def test_wrong_counts_are_mended_while_others_follow(postgres: Postgres) -> None:
    graph, store = PostgresGraphStore(postgres, RECORD), PostgresAccountCountStore(postgres)
    followee, *followers = await people(postgres, 9)
    await follow(graph, followers[0], followee)
    await postgres.execute("UPDATE user_counts SET followers = followers + 5, posts = 3 WHERE user_id = $1", followee)
    assert await store.compare(followee) == (AccountCounts(1, 0, 0), AccountCounts(6, 0, 3))
    mending = [store.recount(followee) for _ in range(3)]
    await asyncio.gather(*mending, *(follow(graph, one, followee) for one in followers[1:]))
    assert await counts(postgres, followee) == (8, 0, 0)
    assert followee in await store.user_ids(followee - 1, 1)


def test_settings_know_the_threshold(user_settings: UserSettings) -> None:
    assert user_settings.push_threshold == 10_000
