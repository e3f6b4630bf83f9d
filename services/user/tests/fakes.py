"""Small real stores in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise

from libs.common.kafka.producer import Record
from services.user.domain.accounts import (
    REFRESH_TOKEN_LIFE,
    Contact,
    Credentials,
    Login,
    NewAccount,
    RefreshState,
    Rotation,
    Session,
    Verdict,
    judge,
)
from services.user.domain.people import (
    Audience,
    Edge,
    Followees,
    Mode,
    OwnedMedia,
    Profile,
    ProfileChange,
    Relationship,
)
from services.user.errors import EmailTakenError, PhoneTakenError, UsernameTakenError
from services.user.ports import MakeRecord


class SteppingClock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = datetime(2025, 6, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def step(self, **by: float) -> None:
        self.now += timedelta(**by)


class CollectedEvents:
    """Implements `ports.EventPublisher`."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def committed(self, records: Sequence[Record]) -> None:
        self.records.extend(records)

    def types(self) -> list[str]:
        return [dict(record.headers)["type"].decode() for record in self.records]


@dataclass
class World:
    """What the in-memory stores share."""

    accounts: dict[int, NewAccount] = field(default_factory=dict)
    sessions: dict[int, Session] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    tokens: dict[bytes, tuple[int, RefreshState]] = field(default_factory=dict)
    profiles: dict[int, Profile] = field(default_factory=dict)
    edges: set[Edge] = field(default_factory=set)
    modes: dict[int, tuple[Mode, int]] = field(default_factory=dict)
    left_pull: dict[int, datetime] = field(default_factory=dict)
    versions: "count[int]" = field(default_factory=lambda: count(1))

    def person(self, user_id: int) -> int:
        """A profile without an account."""
        at = datetime(2025, 1, 1, tzinfo=UTC)
        self.profiles[user_id] = Profile(user_id, f"user{user_id}", "", "", None, False, 0, 0, 0, at)
        return user_id


class InMemoryAccountStore:
    """Implements `ports.AccountStore`."""

    def __init__(self, world: World, sessions: "InMemorySessionStore") -> None:
        self._world = world
        self._sessions = sessions

    async def open(self, account: NewAccount, session: Session, token_hash: bytes, record: Record) -> None:
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
        await self._sessions.start(session, token_hash)

    async def credentials(self, login: Login) -> Credentials | None:
        for account in self._world.accounts.values():
            if getattr(account, login.kind) == login.value:
                return Credentials(account.user_id, "user", account.password_hash)
        return None

    async def credentials_of(self, user_id: int) -> Credentials | None:
        account = self._world.accounts.get(user_id)
        return Credentials(user_id, "user", account.password_hash) if account else None

    async def contact(self, user_id: int) -> Contact | None:
        account = self._world.accounts.get(user_id)
        return Contact(account.email, account.phone) if account else None

    async def set_password(self, user_id: int, password_hash: str, keep_session: int, now: datetime) -> None:
        self._world.accounts[user_id] = replace(self._world.accounts[user_id], password_hash=password_hash)
        others = {s.session_id for s in self._world.sessions.values() if s.user_id == user_id} - {keep_session}
        self._world.ended |= others


class InMemorySessionStore:
    """Implements `ports.SessionStore`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def start(self, session: Session, token_hash: bytes) -> None:
        self._world.sessions[session.session_id] = session
        state = RefreshState(session.created_at + REFRESH_TOKEN_LIFE, None, session_lives=True)
        self._world.tokens[token_hash] = (session.session_id, state)

    async def rotate(self, token_hash: bytes, next_hash: bytes, now: datetime) -> Rotation:
        if token_hash not in self._world.tokens:
            return Rotation(Verdict.DEAD)
        session_id, state = self._world.tokens[token_hash]
        verdict = judge(replace(state, session_lives=session_id not in self._world.ended), now)
        if verdict is Verdict.ROTATE:
            self._world.tokens[token_hash] = (session_id, replace(state, used_at=state.used_at or now))
            fresh = RefreshState(now + REFRESH_TOKEN_LIFE, None, session_lives=True)
            self._world.tokens[next_hash] = (session_id, fresh)
        elif verdict is Verdict.REUSED:
            self._world.ended.add(session_id)
        return Rotation(verdict, self._world.sessions[session_id].user_id, session_id, "user")

    async def lives(self, user_id: int, session_id: int, now: datetime) -> bool:
        session = self._world.sessions.get(session_id)
        return session is not None and session.user_id == user_id and session_id not in self._world.ended

    async def end(self, user_id: int, session_id: int, now: datetime) -> bool:
        living = await self.lives(user_id, session_id, now)
        if living:
            self._world.ended.add(session_id)
        return living

    async def end_by_token(self, token_hash: bytes, now: datetime) -> None:
        if token_hash in self._world.tokens:
            self._world.ended.add(self._world.tokens[token_hash][0])

    async def living(self, user_id: int, below_id: int | None, limit: int, now: datetime) -> list[Session]:
        mine = [
            s for s in self._world.sessions.values() if s.user_id == user_id and s.session_id not in self._world.ended
        ]
        mine.sort(key=lambda session: -session.session_id)
        return [s for s in mine if below_id is None or s.session_id < below_id][:limit]


class InMemoryProfileStore:
    """Implements `ports.ProfileStore`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def profiles(self, user_ids: Sequence[int], reader_id: int | None) -> list[Profile]:
        return [self._seen(self._world.profiles[i], reader_id) for i in user_ids if i in self._world.profiles]

    def _seen(self, profile: Profile, reader_id: int | None) -> Profile:
        edges, me = self._world.edges, profile.user_id
        relationship = None
        if reader_id is not None and reader_id != me:
            relationship = Relationship(Edge(reader_id, me) in edges, Edge(me, reader_id) in edges)
        return replace(
            profile,
            relationship=relationship,
            follower_count=sum(edge.followee_id == me for edge in edges),
            following_count=sum(edge.follower_id == me for edge in edges),
        )

    async def id_of(self, username: str) -> int | None:
        return next((p.user_id for p in self._world.profiles.values() if p.username == username), None)

    async def search(self, prefix: str, after: str, limit: int) -> list[int]:
        names = sorted((p.username, p.user_id) for p in self._world.profiles.values())
        return [i for name, i in names if name.startswith(prefix) and name > after][:limit]

    async def update(self, user_id: int, change: ProfileChange, now_us: int, record: MakeRecord) -> list[Record]:
        profile = self._world.profiles[user_id]
        if change.sets_avatar:
            profile = replace(profile, avatar_path=change.avatar.path if change.avatar else None)
        name = profile.display_name if change.display_name is None else change.display_name
        bio = profile.bio if change.bio is None else change.bio
        self._world.profiles[user_id] = replace(profile, display_name=name, bio=bio)
        return [record(now_us)]


class InMemoryGraphStore:
    """Implements `ports.GraphStore`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def add(self, edge: Edge, now: datetime, record: MakeRecord) -> list[Record]:
        if edge in self._world.edges:
            return []
        self._world.edges.add(edge)
        return [record(next(self._world.versions))]

    async def remove(self, edge: Edge, now: datetime, record: MakeRecord) -> list[Record]:
        if edge not in self._world.edges:
            return []
        self._world.edges.remove(edge)
        return [record(next(self._world.versions))]

    async def audience(self, user_id: int) -> Audience | None:
        if user_id not in self._world.profiles:
            return None
        mode, version = self._world.modes.get(user_id, ("push", 0))
        return Audience(len(self._followers(user_id)), mode, version)

    async def set_mode(self, user_id: int, seen_version: int, mode: Mode, now: datetime) -> bool:
        old, version = self._world.modes.get(user_id, ("push", 0))
        if version != seen_version:
            return False
        if old == "pull":
            self._world.left_pull[user_id] = now
        self._world.modes[user_id] = (mode, version + 1)
        return True

    async def followers(self, user_id: int, below_id: int | None, limit: int) -> list[int]:
        return self._below(self._followers(user_id), below_id, limit)

    async def following(self, user_id: int, below_id: int | None, limit: int) -> list[int]:
        return self._below(self._followees(user_id), below_id, limit)

    async def mutuals(self, user_id: int, reader_id: int, below_id: int | None, limit: int) -> list[int]:
        mine = self._followees(reader_id)
        return self._below([i for i in self._followers(user_id) if i in mine], below_id, limit)

    async def follower_ranges(self, user_id: int, size: int) -> list[tuple[int, int]]:
        ids = self._followers(user_id)
        ends = [i for nth, i in enumerate(ids, 1) if nth % size == 0 or nth == len(ids)]
        return list(pairwise([0, *ends]))

    async def follower_ids(self, user_id: int, after: int, up_to: int, limit: int) -> list[int]:
        return [i for i in self._followers(user_id) if after < i <= up_to][:limit]

    async def followees(self, user_id: int, pull_since: datetime) -> Followees:
        ids = self._followees(user_id)
        long_ago = datetime.min.replace(tzinfo=UTC)
        pulled = {i for i, (mode, _) in self._world.modes.items() if mode == "pull"}
        lingering = {i for i in ids if self._world.left_pull.get(i, long_ago) > pull_since}
        return Followees(ids, [i for i in ids if i in pulled | lingering])

    def _followers(self, user_id: int) -> list[int]:
        return sorted(edge.follower_id for edge in self._world.edges if edge.followee_id == user_id)

    def _followees(self, user_id: int) -> list[int]:
        return sorted(edge.followee_id for edge in self._world.edges if edge.follower_id == user_id)

    @staticmethod
    def _below(ids: list[int], below_id: int | None, limit: int) -> list[int]:
        return [i for i in reversed(ids) if below_id is None or i < below_id][:limit]


class InMemoryMediaLibrary:
    """Implements `ports.MediaLibrary`."""

    def __init__(self) -> None:
        self.media: dict[int, OwnedMedia] = {}

    async def find(self, media_id: int) -> OwnedMedia | None:
        return self.media.get(media_id)


class ReversingHasher:
    """Implements `ports.PasswordHasher`, at no cost."""

    def __init__(self) -> None:
        self.verified: list[str | None] = []

    async def hash(self, password: str) -> str:
        return password[::-1]

    async def verify(self, password_hash: str | None, password: str) -> bool:
        self.verified.append(password_hash)
        return password_hash == password[::-1]


class PlainSigner:
    """Implements `ports.TokenSigner`."""

    def sign(self, user_id: int, session_id: int, role: str, now: datetime) -> str:
        return f"{user_id}/{session_id}/{role}"
