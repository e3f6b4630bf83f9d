"""What the use cases need from outside."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from libs.contracts.events import GraphEvent
from libs.contracts.records import EventRecord
from services.user.domain.accounts import (
    Contact,
    Credentials,
    Login,
    NewAccount,
    Registered,
    Rotation,
    Session,
)
from services.user.domain.people import (
    AccountCounts,
    Audience,
    AuthoredPost,
    Edge,
    Followees,
    Mode,
    OwnedMedia,
    Profile,
    ProfileChange,
    Relation,
)

MakeRecord = Callable[[int], EventRecord]
"""The event's record, for the entity version that the store gives out."""

EdgeRecord = Callable[[type[GraphEvent], Edge, int], EventRecord]
"""The record of such an event of an edge, for the entity version that the store gives out."""


class AccountStore(Protocol):
    """Accounts and their credentials."""

    async def open(self, account: NewAccount, session: Session, token_hash: bytes, record: EventRecord) -> None:
        """Account, first session, event and its attempt, all or nothing.

        Raises:
            UsernameTakenError, EmailTakenError, PhoneTakenError: another has it.
        """

    async def registered(self, key: str, username: str) -> Registered | None:
        """What an attempt with this key came to, if it opened the account."""

    async def credentials(self, login: Login) -> Credentials | None:
        """Of the account with this login."""

    async def credentials_of(self, user_id: int) -> Credentials | None:
        """Of the account with this id."""

    async def contact(self, user_id: int) -> Contact | None:
        """The private fields."""

    async def set_password(
        self, user_id: int, verified_hash: str, new_hash: str, keep_session: int, now: datetime
    ) -> list[int]:
        """Change it and end all other sessions, all or nothing; those that it ended.

        Raises:
            WrongPasswordError: the hash is not the one that was verified any more.
        """

    async def set_banned(self, user_id: int, now: datetime, record: MakeRecord, *, banned: bool) -> list[EventRecord]:
        """Ban or unban; the records written: none when nothing changed."""


class SessionStore(Protocol):
    """Sessions and their refresh tokens; of a token only the hash is ever seen here."""

    async def start(self, session: Session, token_hash: bytes, verified_hash: str) -> None:
        """Keep a new session with its first token, and forget the user's expired ones.

        Raises:
            InvalidCredentialsError: the password's hash is not the one that was verified any more, or there is a ban.
        """

    async def rotate(self, token_hash: bytes, next_hash: bytes, now: datetime) -> Rotation:
        """Judge the presented token; keep its successor as the session's only one that was not presented, or end the
        session of a reused one. A banned user's is dead."""

    async def lives(self, user_id: int, session_id: int, now: datetime) -> bool:
        """Neither ended nor expired, and the account not banned."""

    async def end(self, user_id: int, session_id: int, now: datetime) -> bool:
        """False when the user has no such living session."""

    async def end_by_token(self, token_hash: bytes, now: datetime) -> int | None:
        """End the session that the token belongs to; its id if it lived."""

    async def living(self, user_id: int, below_id: int | None, limit: int, now: datetime) -> list[Session]:
        """Newest first."""


class RefreshTokens(Protocol):
    """Makes refresh tokens."""

    def first(self) -> str:
        """Of a new session."""

    def after(self, token: str) -> str:
        """The successor: always the same. Without the server's secret nobody can tell it."""


class ProfileStore(Protocol):
    """Profiles, each with its counts and its relationship to the reader. Banned people, and those who block the reader,
    are not there."""

    async def profiles(self, user_ids: Sequence[int], reader_id: int | None) -> list[Profile]:
        """Those that are there, in any order."""

    async def id_of(self, username: str) -> int | None:
        """The account with exactly this username."""

    async def search(self, prefix: str, reader_id: int | None, after: str, limit: int) -> list[int]:
        """Ids by username, from beyond `after`."""

    async def update(self, user_id: int, change: ProfileChange, now_us: int, record: MakeRecord) -> list[EventRecord]:
        """Set and write the event in one transaction; the records written."""


class GraphStore(Protocol):
    """What is between people. Each act returns the records written, of itself and of what it ended: none when nothing
    changed."""

    async def add(self, edge: Edge, now: datetime) -> list[EventRecord]:
        """Follow, or request to where the account is private.

        Raises:
            NotFoundError: there is no such account, or it is banned, or it blocks.
            BlockedByYouError: it is blocked.
        """

    async def remove(self, edge: Edge, now: datetime) -> list[EventRecord]:
        """Unfollow, and withdraw the request."""

    async def accept(self, edge: Edge, now: datetime) -> list[EventRecord]:
        """Turn a request into a follow."""

    async def accept_some(self, target_id: int, limit: int, now: datetime) -> list[EventRecord]:
        """Turn the oldest requests that wait at a public account into follows; at a private one none."""

    async def deny(self, edge: Edge, now: datetime) -> list[EventRecord]:
        """Forget a request."""

    async def block(self, edge: Edge, now: datetime) -> list[EventRecord]:
        """Block, and end follows and requests both ways.

        Raises:
            NotFoundError: there is no such account, or it is banned, or it blocks.
        """

    async def unblock(self, edge: Edge, now: datetime) -> list[EventRecord]:
        """What the block ended does not come back."""

    async def mute(self, edge: Edge, now: datetime) -> list[EventRecord]: ...

    async def unmute(self, edge: Edge, now: datetime) -> list[EventRecord]: ...


class PeopleLists(Protocol):
    """Lists of people, without those whose profiles the reader can't see."""

    async def followers(self, user_id: int, reader_id: int | None, below_id: int | None, limit: int) -> list[int]:
        """Newest accounts first."""

    async def following(self, user_id: int, reader_id: int | None, below_id: int | None, limit: int) -> list[int]:
        """Newest accounts first."""

    async def mutuals(self, user_id: int, reader_id: int, below_id: int | None, limit: int) -> list[int]:
        """Followers of `user_id` whom the reader follows, newest accounts first."""

    async def requesters(self, user_id: int, below: int | None, limit: int) -> list[tuple[int, int]]:
        """(place, id) of who waits for the user's answer, newest first."""

    async def blocked(self, user_id: int, below: int | None, limit: int) -> list[tuple[int, int]]:
        """(place, id) of whom the user blocks, newest first."""

    async def muted(self, user_id: int, below: int | None, limit: int) -> list[tuple[int, int]]:
        """(place, id) of whom the user mutes, newest first."""


class AudienceStore(Protocol):
    """What fan-out and feeds ask of the graph."""

    async def audiences(self, user_ids: Sequence[int], followers_up_to: int) -> dict[int, Audience]:
        """Of the users that there are; with the followers of push authors who have no more than so many."""

    async def set_mode(self, user_id: int, seen_version: int, mode: Mode, now: datetime) -> bool:
        """Compare and set; False when another was faster."""

    async def follower_ranges(self, user_id: int, size: int) -> list[tuple[int, int]]:
        """Half-open `(after, up_to]`, in order, together all followers."""

    async def follower_ids(self, user_id: int, after: int, up_to: int, limit: int) -> list[int]:
        """Ascending, `after < id <= up_to`."""

    async def followees(self, user_id: int, now: datetime) -> Followees:
        """All but muted and banned ones; as `pull` also who left that mode, or was followed or unmuted, lately."""

    async def relation(self, reader_id: int, author_id: int) -> Relation | None:
        """None for an unknown author."""


class AuthoredPostStore(Protocol):
    """Which posts a user has, for an exact count."""

    async def apply(self, changes: Sequence[AuthoredPost]) -> None:
        """In any order, any number of times; a deleted post stays deleted."""


class AccountCountStore(Protocol):
    """Whether a user's counts are what the follows and posts say."""

    async def user_ids(self, after_id: int, limit: int) -> list[int]:
        """Ascending."""

    async def tallies(self, user_id: int) -> tuple[AccountCounts, AccountCounts]:
        """From the rows, and as counted, at one moment."""

    async def post_ids(self, user_id: int) -> list[int]:
        """Those that are counted."""

    async def recount(self, user_id: int) -> None:
        """Set the counts right; what happens at the same time is counted once."""


class MediaLibrary(Protocol):
    """The media service."""

    async def for_profile(self, owner_id: int, media_id: int) -> OwnedMedia | None:
        """None for an unknown upload."""


class PasswordHasher(Protocol):
    """Slow on purpose, and never on the event loop."""

    async def hash(self, password: str) -> str:
        """A salted hash."""

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """False, after the same time, when there is no hash."""


class TokenSigner(Protocol):
    """Makes access tokens."""

    def sign(self, user_id: int, session_id: int, role: str, now: datetime) -> str:
        """A token that every service can verify."""


class RevokedSessions(Protocol):
    """Tells all services who is to be let in no more; never raises."""

    async def end(self, session_ids: Iterable[int]) -> None:
        """These sessions have ended."""

    async def ban(self, user_id: int) -> None:
        """All sessions of the person are shut out."""

    async def unban(self, user_id: int) -> None:
        """They live again."""
