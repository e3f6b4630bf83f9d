"""Use cases of accounts and sessions."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from libs.common.core.errors import ConflictError, KeyReusedError, NotFoundError
from libs.common.core.paging import Page
from libs.contracts.base import utc_now
from libs.contracts.events import UserBanned, UserCreated, UserEvent, UserUnbanned
from libs.contracts.records import EventOutbox
from services.user.domain.accounts import (
    Contact,
    Credentials,
    DeviceSession,
    EarlierRegistration,
    Login,
    NewAccount,
    Registration,
    RegistrationAttempt,
    RotationResult,
    normalized_password,
)
from services.user.errors import (
    AccountBannedError,
    InvalidCredentialsError,
    InvalidRefreshTokenError,
    PasswordIsNameError,
    RefreshTokenReusedError,
    UsernameTakenError,
    WrongPasswordError,
)
from services.user.ports import (
    AccountStore,
    PasswordHasher,
    RefreshTokens,
    SessionRevoker,
    SessionStore,
    TokenSigner,
)
from services.user.service.events import Clock, micros

_USER_AGENT_CHARS = 200


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A pair of tokens and the user they belong to."""

    user_id: int
    access_token: str
    refresh_token: str


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class Accounts:
    """Registration, login, sessions, passwords and bans."""

    def __init__(
        self,
        accounts: AccountStore,
        sessions: SessionStore,
        hasher: PasswordHasher,
        signer: TokenSigner,
        refresh_tokens: RefreshTokens,
        revoker: SessionRevoker,
        events: EventOutbox,
        mint: Callable[[], int],
        clock: Clock = utc_now,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._hasher = hasher
        self._signer = signer
        self._refresh_tokens = refresh_tokens
        self._revoker = revoker
        self._events = events
        self._mint = mint
        self._clock = clock

    async def register(self, form: Registration, user_agent: str, key: str | None = None) -> SignedIn:
        """Open an account and sign in. With key and password of an earlier attempt, sign in to its account.

        Raises:
            UsernameTakenError, EmailTakenError, PhoneTakenError: another account has it.
            KeyReusedError: the key was used with another form or password.
        """
        attempt = RegistrationAttempt.of(key, form) if key is not None else None
        try:
            return await self._open(form, user_agent, attempt)
        except ConflictError:
            # After the conflict, so that a concurrent attempt with the same key is found too.
            if attempt and (earlier := await self._accounts.registered(attempt.key, form.username)):
                return await self._repeat_registration(earlier, attempt, form.password, user_agent)
            raise

    async def _open(self, form: Registration, user_agent: str, attempt: RegistrationAttempt | None) -> SignedIn:
        # Saves the costly hash. Checks only the username, which is public; the store checks all three names.
        if await self._accounts.credentials(Login("username", form.username)):
            raise UsernameTakenError
        password_hash = await self._hasher.hash(normalized_password(form.password))
        now, user_id = self._clock(), self._mint()
        name = form.display_name or form.username
        account = NewAccount(
            user_id, form.username, name, form.email, form.phone, password_hash, micros(now), now, attempt
        )
        session, token = self._new_session(user_id, user_agent), self._refresh_tokens.first()
        record = self._events.record(UserCreated(user_id=user_id), user_id, account.version)
        await self._accounts.open(account, session, _hash(token), record)
        await self._events.committed([record])
        return self._signed_in(user_id, session.session_id, "user", token)

    async def _repeat_registration(
        self, earlier: EarlierRegistration, attempt: RegistrationAttempt, password: str, user_agent: str
    ) -> SignedIn:
        found = await self._accounts.credentials_of(earlier.user_id)
        if earlier.form_hash != attempt.form_hash or not await self._password_matches(found, password) or found is None:
            raise KeyReusedError
        return await self._sign_in(found, user_agent)

    async def log_in(self, login: str, password: str, user_agent: str) -> SignedIn:
        """Start a session.

        Raises:
            InvalidCredentialsError: the account is unknown, or the password is wrong or was changed during the login.
            AccountBannedError: the password is right.
        """
        found = await self._accounts.credentials(Login.parse(login))
        if not await self._password_matches(found, password) or found is None:
            raise InvalidCredentialsError
        return await self._sign_in(found, user_agent)

    async def _sign_in(self, found: Credentials, user_agent: str) -> SignedIn:
        if found.banned:
            raise AccountBannedError
        session, token = self._new_session(found.user_id, user_agent), self._refresh_tokens.first()
        await self._sessions.start(session, _hash(token), found.password_hash)
        return self._signed_in(found.user_id, session.session_id, found.role, token)

    async def refresh(self, token: str | None) -> SignedIn:
        """Return a new pair. Until the new refresh token is used, the old one returns it again.

        Raises:
            InvalidRefreshTokenError: the token is unknown or expired, its session ended, or the account is banned.
            RefreshTokenReusedError: the token was used before, and its session has been ended.
        """
        if not token:
            raise InvalidRefreshTokenError
        successor = self._refresh_tokens.after(token)
        rotation = await self._sessions.rotate(_hash(token), _hash(successor), self._clock())
        if rotation.result is RotationResult.REUSED:
            await self._revoker.end([rotation.session_id])
            raise RefreshTokenReusedError
        if rotation.result is RotationResult.INVALID:
            raise InvalidRefreshTokenError
        return self._signed_in(rotation.user_id, rotation.session_id, rotation.role, successor)

    async def log_out(self, token: str | None, user_id: int | None = None, session_id: int | None = None) -> None:
        """End the session of a refresh token and the session named. A session that is not active is no error."""
        ended = await self._sessions.end_by_token(_hash(token), self._clock()) if token is not None else None
        if user_id is not None and session_id is not None:
            await self._sessions.end(user_id, session_id, self._clock())
        await self._revoker.end([one for one in (ended, session_id) if one is not None])

    async def end_session(self, user_id: int, session_id: int) -> None:
        """End a session of the user.

        Raises:
            NotFoundError: the user has no active session with this id.
        """
        if not await self._sessions.end(user_id, session_id, self._clock()):
            raise NotFoundError
        await self._revoker.end([session_id])

    async def sessions(self, user_id: int, below_id: int | None, limit: int) -> Page[DeviceSession]:
        """Return active sessions of the user, newest first."""
        found = await self._sessions.active(user_id, below_id, limit + 1, self._clock())
        return Page(found[:limit], found[limit - 1].session_id if len(found) > limit else None)

    async def contact(self, user_id: int) -> Contact:
        """Return the private fields of an account. Raises NotFoundError."""
        contact = await self._accounts.contact(user_id)
        if contact is None:
            raise NotFoundError
        return contact

    async def change_password(self, user_id: int, session_id: int, current: str, new: str) -> None:
        """Set a new password and end all other sessions.

        Raises:
            WrongPasswordError: `current` is not the password, or no longer.
            PasswordIsNameError: `new` is a name of the account.
        """
        found = await self._accounts.credentials_of(user_id)
        if not await self._password_matches(found, current) or found is None:
            raise WrongPasswordError
        if (await self.contact(user_id)).has_name(new):
            raise PasswordIsNameError
        new_hash, now = await self._hasher.hash(normalized_password(new)), self._clock()
        ended = await self._accounts.set_password(user_id, found.password_hash, new_hash, session_id, now)
        await self._revoker.end(ended)

    async def _password_matches(self, found: Credentials | None, password: str) -> bool:
        """Check a password. An unknown account takes as many hashes as a known one."""
        stored_hash, normalized = found.password_hash if found else None, normalized_password(password)
        if await self._hasher.verify(stored_hash, normalized):
            return True
        # Passwords that were set before passwords were normalized.
        return normalized != password and await self._hasher.verify(stored_hash, password)

    async def ban(self, user_id: int) -> None:
        """Hide an account and its content, and reject its sessions; idempotent. Raises NotFoundError."""
        await self._set_banned(user_id, UserBanned, banned=True)

    async def unban(self, user_id: int) -> None:
        """Show an account again and accept its sessions; idempotent. Raises NotFoundError."""
        await self._set_banned(user_id, UserUnbanned, banned=False)

    async def _set_banned(self, user_id: int, kind: type[UserEvent], *, banned: bool) -> None:
        await self.contact(user_id)
        records = await self._accounts.set_banned(
            user_id,
            self._clock(),
            lambda version: self._events.record(kind(user_id=user_id), user_id, version),
            banned=banned,
        )
        await self._events.committed(records)
        await self._mark_ban(user_id, banned=banned)

    async def _mark_ban(self, user_id: int, *, banned: bool) -> None:
        """Revoke or restore the sessions until this agrees with the record: a ban and an unban may race."""
        while True:
            await (self._revoker.ban if banned else self._revoker.unban)(user_id)
            found = await self._accounts.credentials_of(user_id)
            recorded = found is not None and found.banned
            if recorded is banned:
                return
            banned = recorded

    def _new_session(self, user_id: int, user_agent: str) -> DeviceSession:
        now = self._clock()
        return DeviceSession(self._mint(), user_id, user_agent[:_USER_AGENT_CHARS], created_at=now, last_used_at=now)

    def _signed_in(self, user_id: int, session_id: int, role: str, refresh_token: str) -> SignedIn:
        access_token = self._signer.sign(user_id, session_id, role, self._clock())
        return SignedIn(user_id, access_token, refresh_token)
