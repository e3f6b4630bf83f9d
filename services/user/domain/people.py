"""Profiles and the graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Literal, TypeVar

Mode = Literal["push", "pull"]

BACK_TO_PUSH_RATIO = 0.9  # hysteresis: an author at the threshold does not change to and fro
PULL_LINGERS = timedelta(days=7)  # posts that were never pushed must still be found; feeds live as long
BROUGHT_AFTER = timedelta(hours=1)  # by then an event has brought a followee's posts, whatever was down meanwhile


@dataclass(frozen=True, slots=True)
class Relationship:
    """How the reader and the other stand to one another."""

    following: bool
    followed_by: bool
    requested: bool = False
    blocking: bool = False
    muting: bool = False


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
    is_private: bool = False
    relationship: Relationship | None = None

    @property
    def is_blocked(self) -> bool:
        """By the reader. Who is blocked by the person themselves gets no profile to ask this of."""
        return self.relationship is not None and self.relationship.blocking

    def is_open_to(self, reader_id: int | None) -> bool:
        """Whether the reader may see more than the profile: posts, followers, followees."""
        if self.user_id == reader_id:
            return True
        following = self.relationship is not None and self.relationship.following
        return not self.is_blocked and (following or not self.is_private)


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
    is_private: bool | None = None
    sets_avatar: bool = False
    avatar: Avatar | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return self == ProfileChange()


@dataclass(frozen=True, slots=True)
class Edge:
    """From one person to another: a follow, a request, a block or a mute."""

    from_id: int
    to_id: int

    @property
    def entity(self) -> str:
        """Its name in events."""
        return f"{self.from_id}:{self.to_id}"

    @property
    def reversed(self) -> "Edge":
        """The other way."""
        return Edge(self.to_id, self.from_id)


@dataclass(frozen=True, slots=True)
class Audience:
    """How many follow an author, and so how their posts travel; `followers` are their ids, if they are few."""

    follower_count: int
    mode: Mode
    mode_version: int
    followers: Sequence[int] | None = None


def next_mode(mode: Mode, follower_count: int, threshold: int) -> Mode:
    """The mode that an author with so many followers belongs in."""
    if follower_count >= threshold:
        return "pull"
    return "push" if follower_count < threshold * BACK_TO_PUSH_RATIO else mode


@dataclass(frozen=True, slots=True)
class Followees:
    """Whose posts someone's feed is made of; `pull` are those whose recent posts are not all in the feed list.

    Of these, `fresh` are pulled only until the list has caught up with a follow or an unmute.
    """

    ids: list[int]
    pull: list[int]
    fresh: list[int]


@dataclass(frozen=True, slots=True)
class Relation:
    """Why an author's posts are, or are not, in a reader's feed. `blocked` is either way."""

    following: bool
    muted: bool
    blocked: bool
    banned: bool
    private: bool


@dataclass(frozen=True, slots=True)
class AuthoredPost:
    """That a post exists, or existed."""

    user_id: int
    post_id: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class AccountCounts:
    """What is counted of a user."""

    followers: int
    following: int
    posts: int


T = TypeVar("T")
K = TypeVar("K", int, str)


@dataclass(frozen=True, slots=True)
class Page(Generic[T, K]):
    """A part of a list; `last` is where the next part begins, None at the end."""

    items: list[T]
    last: K | None
