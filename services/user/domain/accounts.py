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
"""Who could be taken for the operator (most are in RFC 2142); paths of the API and of web clients; names of nobody."""
RESERVED_USERNAMES = frozenset(_RESERVED.split())
"""Usernames that nobody can register. Accounts that have one already keep it."""

LoginKind = Literal["username", "email", "phone"]


@dataclass(frozen=True, slots=True)
class Login:
    """By what someone signs in."""

    kind: LoginKind
    value: str

    @classmethod
    def parse(cls, text: str) -> "Login":
        """`@` makes it an email address, a leading `+` a phone number. Spaces around it are a slip of the keyboard."""
        text = text.strip()
        if "@" in text:
            return cls("email", text.lower())
        return cls("phone", text) if text.startswith("+") else cls("username", text.lower())


def normal_password(password: str) -> str:
    """The same for what different keyboards send: NFC, and U+0020 for every space (RFC 8265 §4.2, OpaqueString)."""
    spaced = "".join(" " if unicodedata.category(char) == "Zs" else char for char in password)
    return unicodedata.normalize("NFC", spaced)


@dataclass(frozen=True, slots=True)
class Registration:
    """What a new person says of themselves."""

    username: str
    password: str
    email: str | None
    phone: str | None
    display_name: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A registration that may be sent again: its Idempotency-Key, and a hash of the form without the password."""

    key: str
    form_hash: bytes

    @classmethod
    def of(cls, key: str, form: Registration) -> "Attempt":
        fields = (form.username, form.email, form.phone, form.display_name)
        return cls(key, hashlib.sha256(repr(fields).encode()).digest())


@dataclass(frozen=True, slots=True)
class Registered:
    """What an earlier attempt came to."""

    user_id: int
    form_hash: bytes


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to be opened."""

    user_id: int
    username: str
    display_name: str
    email: str | None
    phone: str | None
    password_hash: str
    version: int
    created_at: datetime
    attempt: Attempt | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login is checked against."""

    user_id: int
    role: str
    password_hash: str
    banned: bool = False


@dataclass(frozen=True, slots=True)
class Contact:
    """By what an account is reached. All but the username is private."""

    username: str
    email: str | None
    phone: str | None

    def has_name(self, password: str) -> bool:
        """Whether a password is one of its names: the first that anyone would guess."""
        names = (self.username, self.email, self.email and self.email.partition("@")[0], self.phone)
        return password.strip().lower() in names


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in device; the family of its refresh tokens."""

    session_id: int
    user_id: int
    user_agent: str
    created_at: datetime
    last_used_at: datetime


@dataclass(frozen=True, slots=True)
class RefreshState:
    """What is known of a refresh token when it is presented."""

    expires_at: datetime
    used_at: datetime | None
    session_lives: bool
    successor_waits: bool = False
    """Its successor was given out, and not presented yet."""


class Verdict(Enum):
    """What becomes of a presented refresh token."""

    ROTATE = auto()
    REPEAT = auto()
    REUSED = auto()
    DEAD = auto()


def judge(token: RefreshState, now: datetime) -> Verdict:
    """A token is good once. Until its successor is presented, it gives the same successor again: two tabs may present
    it, or an answer may be lost."""
    if not token.session_lives or token.expires_at <= now:
        return Verdict.DEAD
    if token.used_at is None:
        return Verdict.ROTATE
    return Verdict.REPEAT if token.successor_waits else Verdict.REUSED


@dataclass(frozen=True, slots=True)
class Rotation:
    """The outcome of presenting a refresh token; whose it is, unless it is unknown."""

    verdict: Verdict
    user_id: int = 0
    session_id: int = 0
    role: str = ""
