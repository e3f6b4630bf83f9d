"""Profiles and the graph."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Literal, TypeVar

Mode = Literal["push", "pull"]

BACK_TO_PUSH_RATIO = 0.9  # hysteresis: an author at the threshold does not change to and fro
PULL_LINGERS = timedelta(days=7)  # posts that were never pushed must still be found; feeds live as long


@dataclass(frozen=True, slots=True)
class Relationship:
    """How the reader and the other stand to one another."""

    following: bool
    followed_by: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """A person as others see them. `relationship` is None for oneself and for a reader who is not signed in."""

    user_id: int
    username: str
    display_name: str
    bio: str
    avatar_path: str | None
    is_verified: bool
    follower_count: int
    following_count: int
    post_count: int
    created_at: datetime
    relationship: Relationship | None = None


@dataclass(frozen=True, slots=True)
class Avatar:
    """A ready picture; `path` is its thumbnail's below the gateway's media root."""

    media_id: int
    path: str


@dataclass(frozen=True, slots=True)
class OwnedMedia:
    """What the media service says of an upload."""

    owner_id: int
    avatar: Avatar | None


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """What to set; None leaves as it is. An avatar is replaced only when `sets_avatar`, and by None removed."""

    display_name: str | None = None
    bio: str | None = None
    sets_avatar: bool = False
    avatar: Avatar | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.display_name is None and self.bio is None and not self.sets_avatar


@dataclass(frozen=True, slots=True)
class Edge:
    """`follower_id` follows `followee_id`."""

    follower_id: int
    followee_id: int

    @property
    def entity(self) -> str:
        """Its name in events."""
        return f"{self.follower_id}:{self.followee_id}"


@dataclass(frozen=True, slots=True)
class Audience:
    """How many follow an author, and so how their posts travel."""

    follower_count: int
    mode: Mode
    mode_version: int


def next_mode(mode: Mode, follower_count: int, threshold: int) -> Mode:
    """The mode that an author with so many followers belongs in."""
    if follower_count >= threshold:
        return "pull"
    return "push" if follower_count < threshold * BACK_TO_PUSH_RATIO else mode


@dataclass(frozen=True, slots=True)
class Followees:
    """Whom someone follows; `pull` are those whose recent posts are not all pushed."""

    ids: list[int]
    pull: list[int]


@dataclass(frozen=True, slots=True)
class Authored:
    """That a post exists, or existed."""

    user_id: int
    post_id: int
    deleted: bool


T = TypeVar("T")
K = TypeVar("K", int, str)


@dataclass(frozen=True, slots=True)
class Page(Generic[T, K]):
    """A part of a list; `last` is where the next part begins, None at the end."""

    items: list[T]
    last: K | None
