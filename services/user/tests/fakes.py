"""In-memory implementations of the ports."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise

from libs.common.core.errors import NotFoundError
from libs.common.testing.events import CollectedEvents
from libs.contracts.events import (
    BlockCreated,
    BlockDeleted,
    FollowCreated,
    FollowDeleted,
    FollowRequestCreated,
    FollowRequestDeleted,
    GraphEvent,
    MuteCreated,
    MuteDeleted,
)
from libs.contracts.records import EventRecord
from services.user.domain.accounts import (
    REFRESH_TOKEN_LIFE,
    Contact,
    Credentials,
    DeviceSession,
    EarlierRegistration,
    Login,
    NewAccount,
    RefreshTokenState,
    Rotation,
    RotationResult,
    rotation_result,
)
from services.user.domain.people import (
    FRESH_FOR,
    PULLED_FOR,
    AuthorAudience,
    AvatarUpload,
    Edge,
    FollowedAuthors,
    Mode,
    Profile,
    ProfileChange,
    ReaderRelation,
    Relationship,
)
from services.user.errors import (
    BlockedByYouError,
    EmailTakenError,
    InvalidCredentialsError,
    PhoneTakenError,
    UsernameTakenError,
    WrongPasswordError,
)
from services.user.ports import MakeRecord
from services.user.service.events import edge_records

Meanwhile = Callable[[], Awaitable[None]]


class SteppingClock:
    """A clock that moves only with `step`."""

    def __init__(self) -> None:
        self.now = datetime(2025, 6, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def step(self, **by: float) -> None:
        self.now += timedelta(**by)


async def _nothing() -> None: ...


class InMemorySessionRevoker:
    """Implements `ports.SessionRevoker`. Runs `meanwhile` once before the next ban or unban."""

    def __init__(self) -> None:
        self.meanwhile: Meanwhile = _nothing
        self.sessions: set[int] = set()
        self.users: set[int] = set()

    async def end(self, session_ids: Iterable[int]) -> None:
        self.sessions |= set(session_ids)

    async def ban(self, user_id: int) -> None:
        await self._meanwhile()
        self.users.add(user_id)

    async def unban(self, user_id: int) -> None:
        await self._meanwhile()
        self.users.discard(user_id)

    async def _meanwhile(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, _nothing
        await meanwhile()


@dataclass
class World:
    """The state that the in-memory stores share."""

    accounts: dict[int, NewAccount] = field(default_factory=dict)
    registrations: dict[tuple[str, str], EarlierRegistration] = field(default_factory=dict)
    sessions: dict[int, DeviceSession] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    tokens: dict[bytes, tuple[int, RefreshTokenState]] = field(default_factory=dict)
    profiles: dict[int, Profile] = field(default_factory=dict)
    follows: set[Edge] = field(default_factory=set)
    pull_until: dict[Edge, datetime] = field(default_factory=dict)
    requests: list[Edge] = field(default_factory=list)
    blocks: list[Edge] = field(default_factory=list)
    mutes: list[Edge] = field(default_factory=list)
    banned: set[int] = field(default_factory=set)
    modes: dict[int, tuple[Mode, int]] = field(default_factory=dict)
    left_pull: dict[int, datetime] = field(default_factory=dict)
    versions: "count[int]" = field(default_factory=lambda: count(1))

    def person(self, user_id: int) -> int:
        """Add a profile without an account."""
        at = datetime(2025, 1, 1, tzinfo=UTC)
        self.profiles[user_id] = Profile(user_id, f"user{user_id}", "", "", None, False, 0, 0, 0, at)
        return user_id

    def is_visible(self, person: int, reader_id: int | None) -> bool:
        is_blocked = reader_id is not None and Edge(person, reader_id) in self.blocks
        return person in self.profiles and person not in self.banned and not is_blocked


class InMemoryAccountStore:
    """Implements `ports.AccountStore`."""

    def __init__(self, world: World, sessions: "InMemorySessionStore") -> None:
        self._world = world
        self._sessions = sessions
        self.meanwhile: Meanwhile = _nothing

    async def open(self, account: NewAccount, session: DeviceSession, token_hash: bytes, record: EventRecord) -> None:
        await self.meanwhile()
        for other in self._world.accounts.values():
            if other.username == account.username:
                raise UsernameTakenError
            if account.email and other.email == account.email:
                raise EmailTakenError
            if account.phone and other.phone == account.phone:
                raise PhoneTakenError
        self._world.accounts[account.user_id] = account
        person = self._world.person(account.user_id)
        self._world.profiles[person] = replace(self._world.profiles[person], username=account.username)
        await self._sessions.start(session, token_hash, account.password_hash)
        if attempt := account.attempt:
            self._world.registrations[attempt.key, account.username] = EarlierRegistration(
                account.user_id, attempt.form_hash
            )

    async def registered(self, key: str, username: str) -> EarlierRegistration | None:
        return self._world.registrations.get((key, username))

    async def credentials(self, login: Login) -> Credentials | None:
        for account in self._world.accounts.values():
            if getattr(account, login.kind) == login.value:
                return await self.credentials_of(account.user_id)
        return None

    async def credentials_of(self, user_id: int) -> Credentials | None:
        account = self._world.accounts.get(user_id)
        banned = user_id in self._world.banned
        return Credentials(user_id, "user", account.password_hash, banned) if account else None

    async def contact(self, user_id: int) -> Contact | None:
        account = self._world.accounts.get(user_id)
        return Contact(account.username, account.email, account.phone) if account else None

    async def set_password(
        self, user_id: int, verified_hash: str, new_hash: str, current_session_id: int, now: datetime
    ) -> list[int]:
        account = self._world.accounts[user_id]
        if account.password_hash != verified_hash:
            raise WrongPasswordError
        self._world.accounts[user_id] = replace(account, password_hash=new_hash)
        others = {s.session_id for s in self._world.sessions.values() if s.user_id == user_id} - {current_session_id}
        ended = others - self._world.ended
        self._world.ended |= ended
        return list(ended)

    async def set_banned(self, user_id: int, now: datetime, record: MakeRecord, *, banned: bool) -> list[EventRecord]:
        if banned == (user_id in self._world.banned):
            return []
        self._world.banned ^= {user_id}
        if not banned:
            self._world.left_pull[user_id] = now
        return [record(next(self._world.versions))]


class InMemorySessionStore:
    """Implements `ports.SessionStore`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def start(self, session: DeviceSession, token_hash: bytes, verified_hash: str) -> None:
        is_banned = session.user_id in self._world.banned
        if is_banned or self._world.accounts[session.user_id].password_hash != verified_hash:
            raise InvalidCredentialsError
        self._world.sessions[session.session_id] = session
        state = RefreshTokenState(session.created_at + REFRESH_TOKEN_LIFE, None, session_is_active=True)
        self._world.tokens[token_hash] = (session.session_id, state)

    async def rotate(self, token_hash: bytes, next_hash: bytes, now: datetime) -> Rotation:
        if token_hash not in self._world.tokens:
            return Rotation(RotationResult.INVALID)
        session_id, state = self._world.tokens[token_hash]
        user_id = self._world.sessions[session_id].user_id
        _, successor = self._world.tokens.get(next_hash, (0, None))
        is_active = await self.is_active(user_id, session_id, now)
        waits = successor is not None and successor.used_at is None
        result = rotation_result(replace(state, session_is_active=is_active, successor_unused=waits), now)
        if result is RotationResult.ROTATED:
            self._world.tokens[token_hash] = (session_id, replace(state, used_at=now))
            fresh = RefreshTokenState(now + REFRESH_TOKEN_LIFE, None, session_is_active=True)
            self._world.tokens[next_hash] = (session_id, fresh)
        elif result is RotationResult.REUSED:
            self._world.ended.add(session_id)
        return Rotation(result, user_id, session_id, "user")

    async def is_active(self, user_id: int, session_id: int, now: datetime) -> bool:
        session = self._world.sessions.get(session_id)
        shut_out = session_id in self._world.ended or user_id in self._world.banned
        return session is not None and session.user_id == user_id and not shut_out

    async def end(self, user_id: int, session_id: int, now: datetime) -> bool:
        living = await self.is_active(user_id, session_id, now)
        if living:
            self._world.ended.add(session_id)
        return living

    async def end_by_token(self, token_hash: bytes, now: datetime) -> int | None:
        session_id, _ = self._world.tokens.get(token_hash, (None, None))
        if session_id is None or session_id in self._world.ended:
            return None
        self._world.ended.add(session_id)
        return session_id

    async def active(self, user_id: int, below_id: int | None, limit: int, now: datetime) -> list[DeviceSession]:
        mine = [
            s for s in self._world.sessions.values() if s.user_id == user_id and s.session_id not in self._world.ended
        ]
        mine.sort(key=lambda session: -session.session_id)
        return [s for s in mine if below_id is None or s.session_id < below_id][:limit]

    async def count_usable(self, after_id: int | None, limit: int, now: datetime) -> tuple[int, int | None]:
        page = sorted(i for i in self._world.sessions if after_id is None or i > after_id)[:limit]
        active = [await self.is_active(self._world.sessions[i].user_id, i, now) for i in page]
        return sum(active), page[-1] if len(page) == limit else None


class InMemoryProfileStore:
    """Implements `ports.ProfileStore`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def profiles(self, user_ids: Sequence[int], reader_id: int | None) -> list[Profile]:
        there = [i for i in user_ids if self._world.is_visible(i, reader_id)]
        return [self._of(self._world.profiles[i], reader_id) for i in there]

    def _of(self, profile: Profile, reader_id: int | None) -> Profile:
        world, me = self._world, profile.user_id
        relationship = None
        if reader_id is not None and reader_id != me:
            edge = Edge(reader_id, me)
            ties = (world.follows, world.requests, world.blocks, world.mutes)
            following, requested, blocking, muting = (edge in tie for tie in ties)
            relationship = Relationship(following, edge.reversed in world.follows, requested, blocking, muting)
        return replace(
            profile,
            relationship=relationship,
            follower_count=sum(edge.to_id == me for edge in world.follows),
            following_count=sum(edge.from_id == me for edge in world.follows),
        )

    async def id_of(self, username: str) -> int | None:
        return next((p.user_id for p in self._world.profiles.values() if p.username == username), None)

    async def search(self, prefix: str, reader_id: int | None, after: str, limit: int) -> list[int]:
        people = [p for p in self._world.profiles.values() if self._world.is_visible(p.user_id, reader_id)]
        names = sorted((p.username, p.user_id) for p in people)
        return [i for name, i in names if name.startswith(prefix) and name > after][:limit]

    async def update(self, user_id: int, change: ProfileChange, now_us: int, record: MakeRecord) -> list[EventRecord]:
        profile = self._world.profiles[user_id]
        if change.sets_avatar:
            profile = replace(profile, avatar_path=change.avatar.path if change.avatar else None)
        name = profile.display_name if change.display_name is None else change.display_name
        bio = profile.bio if change.bio is None else change.bio
        private = profile.is_private if change.is_private is None else change.is_private
        self._world.profiles[user_id] = replace(profile, display_name=name, bio=bio, is_private=private)
        return [record(now_us)]


class InMemoryGraphStore:
    """Implements `ports.GraphStore`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._record = edge_records(CollectedEvents())

    async def add(self, edge: Edge, now: datetime) -> list[EventRecord]:
        if not self._world.is_visible(edge.to_id, edge.from_id):
            raise NotFoundError
        if edge in self._world.follows:
            return []
        if edge in self._world.blocks:
            raise BlockedByYouError
        if self._world.profiles[edge.to_id].is_private:
            return self._put(self._world.requests, FollowRequestCreated, edge)
        return self._take(self._world.requests, FollowRequestDeleted, edge) + self._follow(edge, now)

    async def remove(self, edge: Edge, now: datetime) -> list[EventRecord]:
        return self._remove_edges(edge)

    async def accept(self, edge: Edge, now: datetime) -> list[EventRecord]:
        withdrawn = self._take(self._world.requests, FollowRequestDeleted, edge)
        return withdrawn + self._follow(edge, now) if withdrawn else []

    async def accept_some(self, target_id: int, limit: int, now: datetime) -> list[EventRecord]:
        if self._world.profiles[target_id].is_private:
            return []
        waiting = [edge for edge in self._world.requests if edge.to_id == target_id][:limit]
        return [made for edge in waiting for made in await self.accept(edge, now)]

    async def deny(self, edge: Edge, now: datetime) -> list[EventRecord]:
        return self._take(self._world.requests, FollowRequestDeleted, edge)

    async def block(self, edge: Edge, now: datetime) -> list[EventRecord]:
        blocked = self._put(self._world.blocks, BlockCreated, edge)
        return blocked + self._remove_edges(edge) + self._remove_edges(edge.reversed) if blocked else []

    async def unblock(self, edge: Edge, now: datetime) -> list[EventRecord]:
        return self._take(self._world.blocks, BlockDeleted, edge)

    async def mute(self, edge: Edge, now: datetime) -> list[EventRecord]:
        return self._put(self._world.mutes, MuteCreated, edge)

    async def unmute(self, edge: Edge, now: datetime) -> list[EventRecord]:
        unmuted = self._take(self._world.mutes, MuteDeleted, edge)
        if unmuted and edge in self._world.follows:
            self._world.pull_until[edge] = now + FRESH_FOR
        return unmuted

    def _follow(self, edge: Edge, now: datetime) -> list[EventRecord]:
        self._world.follows.add(edge)
        self._world.pull_until[edge] = now + FRESH_FOR
        return [self._record_of(FollowCreated, edge)]

    def _remove_edges(self, edge: Edge) -> list[EventRecord]:
        withdrawn = self._take(self._world.requests, FollowRequestDeleted, edge)
        if edge not in self._world.follows:
            return withdrawn
        self._world.follows.remove(edge)
        return [*withdrawn, self._record_of(FollowDeleted, edge)]

    def _put(self, tie: list[Edge], kind: type[GraphEvent], edge: Edge) -> list[EventRecord]:
        if edge in tie or edge.to_id not in self._world.profiles:
            return []
        tie.append(edge)
        return [self._record_of(kind, edge)]

    def _take(self, tie: list[Edge], kind: type[GraphEvent], edge: Edge) -> list[EventRecord]:
        if edge not in tie:
            return []
        tie.remove(edge)
        return [self._record_of(kind, edge)]

    def _record_of(self, kind: type[GraphEvent], edge: Edge) -> EventRecord:
        return self._record(kind, edge, next(self._world.versions))


class InMemoryPeopleLists:
    """Implements `ports.PeopleLists`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def followers(self, user_id: int, reader_id: int | None, below_id: int | None, limit: int) -> list[int]:
        return self._below([e.from_id for e in self._world.follows if e.to_id == user_id], reader_id, below_id, limit)

    async def following(self, user_id: int, reader_id: int | None, below_id: int | None, limit: int) -> list[int]:
        return self._below([e.to_id for e in self._world.follows if e.from_id == user_id], reader_id, below_id, limit)

    async def mutuals(self, user_id: int, reader_id: int, below_id: int | None, limit: int) -> list[int]:
        follows = self._world.follows
        found = [e.from_id for e in follows if e.to_id == user_id and Edge(reader_id, e.from_id) in follows]
        return self._below(found, reader_id, below_id, limit)

    async def requesters(self, user_id: int, below: int | None, limit: int) -> list[tuple[int, int]]:
        waiting = [(n, e.from_id) for n, e in enumerate(self._world.requests) if e.to_id == user_id]
        return self._placed(waiting, user_id, below, limit)

    async def blocked(self, user_id: int, below: int | None, limit: int) -> list[tuple[int, int]]:
        found = [(n, e.to_id) for n, e in enumerate(self._world.blocks) if e.from_id == user_id]
        return self._placed(found, user_id, below, limit)

    async def muted(self, user_id: int, below: int | None, limit: int) -> list[tuple[int, int]]:
        found = [(n, e.to_id) for n, e in enumerate(self._world.mutes) if e.from_id == user_id]
        return self._placed(found, user_id, below, limit)

    def _below(self, ids: list[int], reader_id: int | None, below_id: int | None, limit: int) -> list[int]:
        return [i for _, i in self._placed([(i, i) for i in ids], reader_id, below_id, limit)]

    def _placed(
        self, rows: list[tuple[int, int]], reader_id: int | None, below: int | None, limit: int
    ) -> list[tuple[int, int]]:
        rows = [row for row in rows if (below is None or row[0] < below) and self._world.is_visible(row[1], reader_id)]
        return sorted(rows, reverse=True)[:limit]


class InMemoryAudienceStore:
    """Implements `ports.AudienceStore`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def audiences(self, user_ids: Sequence[int], followers_up_to: int) -> dict[int, AuthorAudience]:
        found = {}
        for user_id in self._world.profiles.keys() & set(user_ids):
            (mode, version), followers = self._world.modes.get(user_id, ("push", 0)), self._followers(user_id)
            few = followers if mode == "push" and len(followers) <= followers_up_to else None
            found[user_id] = AuthorAudience(len(followers), mode, version, few)
        return found

    async def set_mode(self, user_id: int, seen_version: int, mode: Mode, now: datetime) -> bool:
        old, version = self._world.modes.get(user_id, ("push", 0))
        if version != seen_version:
            return False
        if old == "pull":
            self._world.left_pull[user_id] = now
        self._world.modes[user_id] = (mode, version + 1)
        return True

    async def follower_ranges(self, user_id: int, size: int) -> list[tuple[int, int]]:
        ids = self._followers(user_id)
        ends = [i for nth, i in enumerate(ids, 1) if nth % size == 0 or nth == len(ids)]
        return list(pairwise([0, *ends]))

    async def follower_ids(self, user_id: int, after: int, up_to: int, limit: int) -> list[int]:
        return [i for i in self._followers(user_id) if after < i <= up_to][:limit]

    async def followees(self, user_id: int, now: datetime) -> FollowedAuthors:
        world = self._world
        ids = [e.to_id for e in world.follows if e.from_id == user_id]
        ids = sorted(i for i in ids if i not in world.banned and Edge(user_id, i) not in world.mutes)
        pull = [i for i in ids if self._has_pull_mode(i, now) or world.pull_until[Edge(user_id, i)] > now]
        return FollowedAuthors(ids, pull, [i for i in pull if not self._has_pull_mode(i, now)])

    async def relation(self, reader_id: int, author_id: int) -> ReaderRelation | None:
        world, edge = self._world, Edge(reader_id, author_id)
        if author_id not in world.profiles:
            return None
        return ReaderRelation(
            following=edge in world.follows,
            muted=edge in world.mutes,
            blocked=edge in world.blocks or edge.reversed in world.blocks,
            banned=author_id in world.banned,
            private=world.profiles[author_id].is_private,
        )

    def _has_pull_mode(self, author_id: int, now: datetime) -> bool:
        """Return whether the author is in pull mode, or left it a short time ago."""
        mode, _ = self._world.modes.get(author_id, ("push", 0))
        long_ago = datetime.min.replace(tzinfo=UTC)
        return mode == "pull" or self._world.left_pull.get(author_id, long_ago) > now - PULLED_FOR

    def _followers(self, user_id: int) -> list[int]:
        return sorted(edge.from_id for edge in self._world.follows if edge.to_id == user_id)


class InMemoryProfileMedia:
    """Implements `ports.ProfileMedia`."""

    def __init__(self) -> None:
        self.media: dict[int, AvatarUpload] = {}

    async def for_profile(self, owner_id: int, media_id: int) -> AvatarUpload | None:
        return self.media.get(media_id)


class ReversingHasher:
    """Implements `ports.PasswordHasher` at no cost. Runs `meanwhile` once during the next verification."""

    def __init__(self) -> None:
        self.verified: list[str | None] = []
        self.hashed = 0
        self.meanwhile: Meanwhile = _nothing

    async def hash(self, password: str) -> str:
        self.hashed += 1
        return password[::-1]

    async def verify(self, password_hash: str | None, password: str) -> bool:
        self.verified.append(password_hash)
        meanwhile, self.meanwhile = self.meanwhile, _nothing
        await meanwhile()
        return password_hash == password[::-1]


class PlainSigner:
    """Implements `ports.TokenSigner`."""

    def sign(self, user_id: int, session_id: int, role: str, now: datetime) -> str:
        return f"{user_id}/{session_id}/{role}"
