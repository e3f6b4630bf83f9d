"""Requests and responses of the user service."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from libs.common.web.auth import ACCESS_TOKEN_S
from libs.common.web.text import Name, Prose, Text
from libs.common.web.validation import RequestBody
from libs.contracts.base import Id, Timestamp
from libs.contracts.public import Author
from services.user.domain.accounts import RESERVED_USERNAMES, Contact, DeviceSession, Registration
from services.user.domain.people import Profile, ProfileChange
from services.user.security.common_passwords import MIN_CHARS, is_common

_LOGIN_CHARS = 254  # the longest email address


# The rule of browsers (HTML, "valid email address"), with at least two labels.
_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL = rf"^[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@({_LABEL}\.)+{_LABEL}$"


def _not_reserved(username: str) -> str:
    if username in RESERVED_USERNAMES:
        raise ValueError("must not be a reserved username")
    return username


def _hard_to_guess(password: str) -> str:
    if not password.strip():
        raise ValueError("must not be blank")
    if is_common(password):
        raise ValueError("must not be one of the most common passwords")
    return password


NewUsername = Annotated[
    Text, Field(pattern=r"^[A-Za-z0-9_]{3,30}$"), AfterValidator(str.lower), AfterValidator(_not_reserved)
]
Email = Annotated[Text, Field(max_length=_LOGIN_CHARS, pattern=_EMAIL), AfterValidator(str.lower)]
Phone = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$", description="E.164, such as +4930123456")]
NewPassword = Annotated[
    Text,
    Field(
        min_length=MIN_CHARS,
        max_length=128,
        description="8 to 128 code points; not one of the 3,000 most common passwords, not a name of the account",
    ),
    AfterValidator(_hard_to_guess),
]
GivenPassword = Annotated[Text, Field(min_length=1, max_length=128)]
GivenLogin = Annotated[Text, Field(min_length=1, max_length=_LOGIN_CHARS)]
DisplayName = Annotated[Name, Field(min_length=1, max_length=64, description="at most 64 code points")]
Bio = Annotated[Prose, Field(max_length=500, description="at most 500 code points")]
RefreshToken = Annotated[Text, Field(min_length=1)]  # any length, because an invalid token is answered with 401


class RegisterRequest(RequestBody):
    """A new account. `email` or `phone` is required."""

    username: NewUsername
    password: NewPassword
    email: Email | None = None
    phone: Phone | None = None
    display_name: DisplayName | None = None

    @model_validator(mode="after")
    def _is_reachable(self) -> "RegisterRequest":
        if self.email is None and self.phone is None:
            raise ValueError("must have an email address or a phone number")
        if Contact(self.username, self.email, self.phone).has_name(self.password):
            raise ValueError("password must not be the username, email address or phone number")
        return self

    def registration(self) -> Registration:
        """The input of the use case."""
        return Registration(self.username, self.password, self.email, self.phone, self.display_name)


class LoginRequest(RequestBody):
    """Credentials. Exactly one of `login`, `email` and `username` is required."""

    password: GivenPassword
    login: GivenLogin | None = None
    email: GivenLogin | None = None
    username: GivenLogin | None = None

    @model_validator(mode="after")
    def _names_one(self) -> "LoginRequest":
        if sum(name is not None for name in (self.login, self.email, self.username)) != 1:
            raise ValueError("must have exactly one of login, email and username")
        return self

    def name(self) -> str:
        """The login that was given."""
        return self.login or self.email or self.username or ""


class RefreshRequest(RequestBody):
    """A refresh token. Browsers omit it and send the cookie."""

    refresh_token: RefreshToken | None = None


class PasswordRequest(RequestBody):
    """A change of the password."""

    current_password: GivenPassword
    new_password: NewPassword


class ProfileRequest(RequestBody):
    """Changes of a profile. Omitted and null fields stay the same, but `avatar_media_id: null` removes the avatar."""

    display_name: DisplayName | None = None
    bio: Bio | None = None
    is_private: bool | None = None
    avatar_media_id: Id | None = None

    def change(self) -> ProfileChange:
        """The input of the use case."""
        sets_avatar = "avatar_media_id" in self.model_fields_set
        return ProfileChange(self.display_name, self.bio, self.is_private, sets_avatar)


class RelationshipView(BaseModel):
    """The relationship between the caller and this user."""

    model_config = ConfigDict(from_attributes=True)

    following: bool
    followed_by: bool
    requested: bool
    blocking: bool
    muting: bool


def _avatar_url(profile: Profile, public_url: str) -> str | None:
    return f"{public_url}/v1/m/{profile.avatar_path}" if profile.avatar_path else None


class User(BaseModel):
    """A user."""

    user_id: Id
    username: str
    display_name: str
    bio: str
    avatar_url: str | None
    is_verified: bool
    is_private: bool
    follower_count: int
    following_count: int
    post_count: int
    created_at: Timestamp
    relationship: RelationshipView | None

    @classmethod
    def of(cls, profile: Profile, public_url: str) -> "User":
        return cls(
            user_id=profile.user_id,
            username=profile.username,
            display_name=profile.display_name,
            bio=profile.bio,
            avatar_url=_avatar_url(profile, public_url),
            is_verified=profile.is_verified,
            is_private=profile.is_private,
            follower_count=profile.follower_count,
            following_count=profile.following_count,
            post_count=profile.post_count,
            created_at=profile.created_at,
            relationship=RelationshipView.model_validate(profile.relationship) if profile.relationship else None,
        )


class OwnUser(User):
    """The caller's own account, with its private fields."""

    email: str | None
    phone: str | None

    @classmethod
    def own(cls, profile: Profile, contact: Contact, public_url: str) -> "OwnUser":
        public = User.of(profile, public_url).model_dump()
        return cls(**public, email=contact.email, phone=contact.phone)


class Tokens(BaseModel):
    """An access token and a refresh token. `expires_in` is the lifetime of the access token in seconds."""

    access_token: str
    refresh_token: str | None = Field(
        default=None, description="absent after a refresh by cookie; the cookie has the new token"
    )
    expires_in: int = ACCESS_TOKEN_S


class SignedInView(Tokens):
    """The tokens and the user."""

    user: User


class Me(BaseModel):
    """The caller's own account."""

    user: OwnUser


class SessionView(BaseModel):
    """A session of a device."""

    session_id: Id
    user_agent: str
    created_at: Timestamp
    last_used_at: Timestamp
    current: bool

    @classmethod
    def of(cls, session: DeviceSession, current_id: int) -> "SessionView":
        return cls(
            session_id=session.session_id,
            user_agent=session.user_agent,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            current=session.session_id == current_id,
        )


class SessionList(BaseModel):
    """The caller's sessions, newest first."""

    sessions: list[SessionView]
    next_cursor: str | None
    has_more: bool


class UserList(BaseModel):
    """A page of users."""

    users: list[User]
    next_cursor: str | None
    has_more: bool


class Following(BaseModel):
    """The result of a follow."""

    following: bool
    requested: bool

    @classmethod
    def of(cls, profile: Profile) -> "Following":
        """From the relationship after the follow."""
        ours = profile.relationship
        return cls(following=ours is not None and ours.following, requested=ours is not None and ours.requested)


class Jwks(BaseModel):
    """Public keys of access tokens (JSON Web Key Set)."""

    keys: list[dict[str, str]]


def author_of(profile: Profile, public_url: str) -> Author:
    """The profile as posts and comments show it."""
    return Author(
        user_id=profile.user_id,
        username=profile.username,
        display_name=profile.display_name,
        avatar_url=_avatar_url(profile, public_url),
        is_verified=profile.is_verified,
    )
