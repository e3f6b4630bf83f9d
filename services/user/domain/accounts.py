"""Accounts, sessions and refresh tokens."""

import hashlib
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Literal

REFRESH_TOKEN_LIFE = timedelta(days=30)
ATTEMPT_LIFE = timedelta(days=1)

_RESERVED = """
abuse admin administrator feedmill help hostmaster info mod moderator official postmaster root security staff support
sysadmin system webmaster
about account accounts api app auth blog docs explore feed followers following hashtags health home live login logout
mail media messages metrics mutes none notifications null posts privacy profile register reports saved search settings
signin signup static stories tags terms undefined user users web www
"""
"""Names that imitate the operator (most are in RFC 2142), paths of the API and of web clients, and placeholders."""
RESERVED_USERNAMES = frozenset(_RESERVED.split())
"""Usernames that cannot be registered. Existing accounts keep theirs."""

LoginKind = Literal["username", "email", "phone"]


@dataclass(frozen=True, slots=True)
class Login:
    """An account name that a user signs in with."""

    kind: LoginKind
    value: str

    @classmethod
    def parse(cls, text: str) -> "Login":
        """`@` makes it an email address, a leading `+` a phone number. Surrounding spaces are ignored."""
        text = text.strip()
        if "@" in text:
            return cls("email", text.lower())
        return cls("phone", text) if text.startswith("+") else cls("username", text.lower())


def normalized_password(password: str) -> str:
    """Return the same text for what different keyboards send: NFC, and U+0020 for every space.

    Source: RFC 8265 §4.2 (OpaqueString).
    """
    spaced = "".join(" " if unicodedata.category(char) == "Zs" else char for char in password)
    return unicodedata.normalize("NFC", spaced)


@dataclass(frozen=True, slots=True)
class Registration:
    """The registration form."""

    username: str
    password: str
    email: str | None
    phone: str | None
    display_name: str | None


@dataclass(frozen=True, slots=True)
class RegistrationAttempt:
    """A registration that may be retried: its Idempotency-Key, and a hash of the form without the password."""

    key: str
    form_hash: bytes

    @classmethod
    def of(cls, key: str, form: Registration) -> "RegistrationAttempt":
        fields = (form.username, form.email, form.phone, form.display_name)
        return cls(key, hashlib.sha256(repr(fields).encode()).digest())


@dataclass(frozen=True, slots=True)
class EarlierRegistration:
    """The account that an earlier attempt opened."""

    user_id: int
    form_hash: bytes


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to create."""

    user_id: int
    username: str
    display_name: str
    email: str | None
    phone: str | None
    password_hash: str
    version: int
    created_at: datetime
    attempt: RegistrationAttempt | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """The stored data that a login is checked against."""

    user_id: int
    role: str
    password_hash: str
    banned: bool = False


@dataclass(frozen=True, slots=True)
class Contact:
    """The names of an account. All but the username are private."""

    username: str
    email: str | None
    phone: str | None

    def has_name(self, password: str) -> bool:
        """Return whether a password equals one of the names, which are easy to guess."""
        names = (self.username, self.email, self.email and self.email.partition("@")[0], self.phone)
        return password.strip().lower() in names


@dataclass(frozen=True, slots=True)
class DeviceSession:
    """A signed-in device. All its refresh tokens form one family."""

    session_id: int
    user_id: int
    user_agent: str
    created_at: datetime
    last_used_at: datetime


@dataclass(frozen=True, slots=True)
class RefreshTokenState:
    """The state of a refresh token when it is used."""

    expires_at: datetime
    used_at: datetime | None
    session_is_active: bool
    successor_unused: bool = False
    """Its successor was returned to a client, and has not been used."""


class RotationResult(Enum):
    """The result of using a refresh token."""

    ROTATED = auto()
    REPEATED = auto()
    REUSED = auto()
    INVALID = auto()


def rotation_result(token: RefreshTokenState, now: datetime) -> RotationResult:
    """Return the result of using a token at `now`.

    A token is valid once. Until its successor is used, it returns the same successor again: two browser tabs may use
    it, or a response may be lost.
    """
    if not token.session_is_active or token.expires_at <= now:
        return RotationResult.INVALID
    if token.used_at is None:
        return RotationResult.ROTATED
    return RotationResult.REPEATED if token.successor_unused else RotationResult.REUSED


@dataclass(frozen=True, slots=True)
class Rotation:
    """The result of using a refresh token, and its owner unless the token is unknown."""

    result: RotationResult
    user_id: int = 0
    session_id: int = 0
    role: str = ""
