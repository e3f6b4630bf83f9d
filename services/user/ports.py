"""Ports of the use cases: stores, other services, keys and passwords."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from libs.contracts.events import GraphEvent
from libs.contracts.records import EventRecord
from services.user.domain.accounts import (
    Contact,
    Credentials,
    DeviceSession,
    EarlierRegistration,
    Login,
    NewAccount,
    Rotation,
)
from services.user.domain.people import (
    AccountCounts,
    AuthorAudience,
    AuthoredPost,
    AvatarUpload,
    Edge,
    FollowedAuthors,
    Mode,
    Profile,
    ProfileChange,
    ReaderRelation,
)

MakeRecord = Callable[[int], EventRecord]
"""Builds the record of an event for the entity version that the store assigned."""

EdgeRecord = Callable[[type[GraphEvent], Edge, int], EventRecord]
"""Builds the record of an event of an edge for the entity version that the store assigned."""


class AccountStore(Protocol):
    """Accounts and their credentials."""

    async def open(self, account: NewAccount, session: DeviceSession, token_hash: bytes, record: EventRecord) -> None:
        """Store account, first session, event and registration attempt in one transaction.

        Raises:
            UsernameTakenError, EmailTakenError, PhoneTakenError: another account has it.
        """

    async def registered(self, key: str, username: str) -> EarlierRegistration | None:
        """Return the account that an earlier attempt with this key opened, if any."""

    async def credentials(self, login: Login) -> Credentials | None: ...

    async def credentials_of(self, user_id: int) -> Credentials | None: ...

    async def contact(self, user_id: int) -> Contact | None:
        """Return the private fields of an account."""

    async def set_password(
        self, user_id: int, verified_hash: str, new_hash: str, current_session_id: int, now: datetime
    ) -> list[int]:
        """Change the password and end all other sessions in one transaction. Return the ids of the ended sessions.

        Raises:
            WrongPasswordError: `verified_hash` is no longer the hash of the password.
        """

    async def set_banned(self, user_id: int, now: datetime, record: MakeRecord, *, banned: bool) -> list[EventRecord]:
        """Ban or unban. Return the records written: none when nothing changed."""


class SessionStore(Protocol):
    """Sessions and their refresh tokens. Only the hash of a token is stored."""

    async def start(self, session: DeviceSession, token_hash: bytes, verified_hash: str) -> None:
        """Store a new session with its first token, and delete the user's expired sessions.

        Raises:
            InvalidCredentialsError: the account is banned, or `verified_hash` is no longer the hash of its password.
        """

    async def rotate(self, token_hash: bytes, next_hash: bytes, now: datetime) -> Rotation:
        """Use a refresh token. `next_hash` is the hash of its successor.

        Stores the successor as the session's only unused token. Ends the session of a reused token. A token of a banned
        user is invalid.
        """

    async def is_active(self, user_id: int, session_id: int, now: datetime) -> bool:
        """Return whether the session has not ended or expired, and the account is not banned."""

    async def end(self, user_id: int, session_id: int, now: datetime) -> bool:
        """End a session. Return False when the user has no such active session."""

    async def end_by_token(self, token_hash: bytes, now: datetime) -> int | None:
        """End the session that the token belongs to. Return its id if it was active."""

    async def active(self, user_id: int, below_id: int | None, limit: int, now: datetime) -> list[DeviceSession]:
        """Return active sessions, newest first."""

    async def count_usable(self, after_id: int | None, limit: int, now: datetime) -> tuple[int, int | None]:
        """Count sessions whose refresh token can be used, among the next `limit` sessions by id.

        Return the count, and the id after which to continue, or None at the end.
        """


class RefreshTokens(Protocol):
    """Creates refresh tokens."""

    def first(self) -> str:
        """Return the first token of a session."""

    def after(self, token: str) -> str:
        """Return the successor of a token: always the same, and not derivable without the server's secret."""


class ProfileStore(Protocol):
    """Profiles, each with its counts and its relationship to the reader.

    Banned users, and users who block the reader, are treated as absent.
    """

    async def profiles(self, user_ids: Sequence[int], reader_id: int | None) -> list[Profile]:
        """Return the existing profiles, in any order."""

    async def id_of(self, username: str) -> int | None:
        """Return the id of the account with exactly this username."""

    async def search(self, prefix: str, reader_id: int | None, after: str, limit: int) -> list[int]:
        """Return ids in order of username, starting behind the username `after`."""

    async def update(self, user_id: int, change: ProfileChange, now_us: int, record: MakeRecord) -> list[EventRecord]:
        """Change the profile and write the event in one transaction. Return the records written."""


class GraphStore(Protocol):
    """Follows, follow requests, blocks and mutes.

    Each method returns the records written, including those of edges that it ended: none when nothing changed.
    """

    async def add(self, edge: Edge, now: datetime) -> list[EventRecord]:
        """Follow, or send a follow request to a private account.

        Raises:
            NotFoundError: the account does not exist, is banned, or blocks the follower.
            BlockedByYouError: the follower blocks the account.
        """

    async def remove(self, edge: Edge, now: datetime) -> list[EventRecord]:
        """Delete the follow and the follow request."""

    async def accept(self, edge: Edge, now: datetime) -> list[EventRecord]:
        """Turn a request into a follow."""

    async def accept_some(self, target_id: int, limit: int, now: datetime) -> list[EventRecord]:
        """Turn the oldest requests to a public account into follows. Requests to a private account stay."""

    async def deny(self, edge: Edge, now: datetime) -> list[EventRecord]:
        """Delete a request."""

    async def block(self, edge: Edge, now: datetime) -> list[EventRecord]:
        """Block, and end follows and requests in both directions. Works for banned accounts too."""

    async def unblock(self, edge: Edge, now: datetime) -> list[EventRecord]:
        """Remove a block. Follows and requests that it ended stay ended."""

    async def mute(self, edge: Edge, now: datetime) -> list[EventRecord]: ...

    async def unmute(self, edge: Edge, now: datetime) -> list[EventRecord]: ...


class PeopleLists(Protocol):
    """Lists of users, without those whose profile the reader cannot see."""

    async def followers(self, user_id: int, reader_id: int | None, below_id: int | None, limit: int) -> list[int]:
        """Return user ids, highest (newest account) first."""

    async def following(self, user_id: int, reader_id: int | None, below_id: int | None, limit: int) -> list[int]:
        """Return user ids, highest (newest account) first."""

    async def mutuals(self, user_id: int, reader_id: int, below_id: int | None, limit: int) -> list[int]:
        """Return followers of `user_id` that the reader follows, highest id first."""

    async def requesters(self, user_id: int, below: int | None, limit: int) -> list[tuple[int, int]]:
        """Return (position, user id) of pending follow requests, newest first."""

    async def blocked(self, user_id: int, below: int | None, limit: int) -> list[tuple[int, int]]:
        """Return (position, user id) of users that the user blocks, newest first."""

    async def muted(self, user_id: int, below: int | None, limit: int) -> list[tuple[int, int]]:
        """Return (position, user id) of users that the user mutes, newest first."""


class AudienceStore(Protocol):
    """Graph queries of fan-out and of feeds."""

    async def audiences(self, user_ids: Sequence[int], followers_up_to: int) -> dict[int, AuthorAudience]:
        """Return the audience of each existing user.

        `followers` is set for push authors with at most `followers_up_to` followers.
        """

    async def set_mode(self, user_id: int, seen_version: int, mode: Mode, now: datetime) -> bool:
        """Compare and set. Return False when the mode has changed since `seen_version`."""

    async def follower_ranges(self, user_id: int, size: int) -> list[tuple[int, int]]:
        """Return half-open ranges `(after, up_to]` in order, which together hold all followers."""

    async def follower_ids(self, user_id: int, after: int, up_to: int, limit: int) -> list[int]:
        """Return ids with `after < id <= up_to`, ascending."""

    async def followees(self, user_id: int, now: datetime) -> FollowedAuthors:
        """Return the followees without muted and banned ones.

        `pull` includes authors who left pull mode, were followed, or were unmuted a short time ago.
        """

    async def relation(self, reader_id: int, author_id: int) -> ReaderRelation | None:
        """Return None for an unknown author."""


class AuthoredPostStore(Protocol):
    """Existing and deleted posts of each user, for an exact post count."""

    async def apply(self, changes: Sequence[AuthoredPost]) -> None:
        """Record posts. Idempotent, in any order; a deleted post stays deleted."""


class AccountCountStore(Protocol):
    """Compares the counts of a user with the follows and posts that they count."""

    async def user_ids(self, after_id: int, limit: int) -> list[int]:
        """Return ids above `after_id`, ascending."""

    async def compare(self, user_id: int) -> tuple[AccountCounts, AccountCounts]:
        """Return the counts from the rows and the stored counts, both of the same moment."""

    async def post_ids(self, user_id: int) -> list[int]:
        """Return the ids of the posts that are counted."""

    async def recount(self, user_id: int) -> None:
        """Correct the stored counts. A change at the same time is counted once."""


class ProfileMedia(Protocol):
    """Uploads in the media service that can become avatars."""

    async def for_profile(self, owner_id: int, media_id: int) -> AvatarUpload | None:
        """Return None for an unknown upload. The upload is attached to the profile."""


class PasswordHasher(Protocol):
    """Hashes passwords: slow on purpose, so it never runs on the event loop."""

    async def hash(self, password: str) -> str:
        """Return a salted hash."""

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Without a hash, return False after the time that a check takes."""


class TokenSigner(Protocol):
    """Signs access tokens."""

    def sign(self, user_id: int, session_id: int, role: str, now: datetime) -> str:
        """Return a token that every service can verify."""


class SessionRevoker(Protocol):
    """Tells all services which sessions and users to reject. Its methods never raise."""

    async def end(self, session_ids: Iterable[int]) -> None:
        """Reject these sessions."""

    async def ban(self, user_id: int) -> None:
        """Reject all sessions of the user."""

    async def unban(self, user_id: int) -> None:
        """Accept the active sessions of the user again."""
