"""Accounts, sessions and refresh tokens."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Literal

REFRESH_TOKEN_LIFE = timedelta(days=30)
REUSE_GRACE = timedelta(seconds=10)  # two tabs, or a lost answer, may present the same token so far apart

LoginKind = Literal["username", "email", "phone"]


@dataclass(frozen=True, slots=True)
class Login:
    """By what someone signs in."""

    kind: LoginKind
    value: str

    @classmethod
    def parse(cls, text: str) -> "Login":
        """`@` makes it an email address, a leading `+` a phone number."""
        if "@" in text:
            return cls("email", text.lower())
        return cls("phone", text) if text.startswith("+") else cls("username", text.lower())


@dataclass(frozen=True, slots=True)
class Registration:
    """What a new person says of themselves."""

    username: str
    password: str
    email: str | None
    phone: str | None
    display_name: str | None


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


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login is checked against."""

    user_id: int
    role: str
    password_hash: str
    banned: bool = False


@dataclass(frozen=True, slots=True)
class Contact:
    """The private fields of an account."""

    email: str | None
    phone: str | None


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


class Verdict(Enum):
    """What becomes of a presented refresh token."""

    ROTATE = auto()
    REUSED = auto()
    DEAD = auto()


def judge(token: RefreshState, now: datetime) -> Verdict:
    """A token is good once, and for a grace after its first use."""
    if not token.session_lives or token.expires_at <= now:
        return Verdict.DEAD
    if token.used_at is None or now - token.used_at <= REUSE_GRACE:
        return Verdict.ROTATE
    return Verdict.REUSED


@dataclass(frozen=True, slots=True)
class Rotation:
    """The outcome of presenting a refresh token; whose it is, unless it is unknown."""

    verdict: Verdict
    user_id: int = 0
    session_id: int = 0
    role: str = ""
