"""Profiles and the follow graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Mode = Literal["push", "pull"]

BACK_TO_PUSH_RATIO = 0.9  # hysteresis: the mode of an author near the threshold stays stable
PULLED_FOR = timedelta(days=7)  # covers posts that were never pushed; feed lists go back as far
FRESH_FOR = timedelta(hours=1)  # even after an outage, the event has added the followee's posts by then


@dataclass(frozen=True, slots=True)
class Relationship:
    """The relationship between the reader and another user."""

    following: bool
    followed_by: bool
    requested: bool = False
    blocking: bool = False
    muting: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """A user as others see them. `relationship` is None for the own profile and without a signed-in reader."""

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
        """True if the reader blocks this user. A user who blocks the reader has no profile to ask."""
        return self.relationship is not None and self.relationship.blocking

    def is_open_to(self, reader_id: int | None) -> bool:
        """Return whether the reader may see more than the profile: posts, followers, followees."""
        if self.user_id == reader_id:
            return True
        following = self.relationship is not None and self.relationship.following
        return not self.is_blocked and (following or not self.is_private)


@dataclass(frozen=True, slots=True)
class Avatar:
    """A ready image. `path` is the path of its thumbnail below the gateway's media root."""

    media_id: int
    path: str


@dataclass(frozen=True, slots=True)
class AvatarUpload:
    """An upload of a user. `avatar` is None while it cannot be shown."""

    owner_id: int
    avatar: Avatar | None


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """Fields to change; None leaves a field unchanged.

    The avatar changes only with `sets_avatar`, which removes it when `avatar` is None.
    """

    display_name: str | None = None
    bio: str | None = None
    is_private: bool | None = None
    sets_avatar: bool = False
    avatar: Avatar | None = None

    @property
    def is_empty(self) -> bool:
        return self == ProfileChange()


@dataclass(frozen=True, slots=True)
class Edge:
    """A directed edge between two users: a follow, a request, a block or a mute."""

    from_id: int
    to_id: int

    @property
    def entity(self) -> str:
        """The entity name in events."""
        return f"{self.from_id}:{self.to_id}"

    @property
    def reversed(self) -> "Edge":
        return Edge(self.to_id, self.from_id)


@dataclass(frozen=True, slots=True)
class AuthorAudience:
    """The follower count of an author and the mode it leads to. `followers` are the ids, if there are few."""

    follower_count: int
    mode: Mode
    mode_version: int
    followers: Sequence[int] | None = None


def next_mode(mode: Mode, follower_count: int, threshold: int) -> Mode:
    """Return the mode for an author with this follower count."""
    if follower_count >= threshold:
        return "pull"
    return "push" if follower_count < threshold * BACK_TO_PUSH_RATIO else mode


@dataclass(frozen=True, slots=True)
class FollowedAuthors:
    """The authors of a feed. `pull` are authors whose recent posts are not all in the feed list.

    Of these, `fresh` are pulled only until the list has caught up with a follow or an unmute.
    """

    ids: list[int]
    pull: list[int]
    fresh: list[int]


@dataclass(frozen=True, slots=True)
class ReaderRelation:
    """The reasons why an author's posts are, or are not, in a reader's feed. `blocked` covers both directions."""

    following: bool
    muted: bool
    blocked: bool
    banned: bool
    private: bool


@dataclass(frozen=True, slots=True)
class AuthoredPost:
    """An existing or deleted post of a user."""

    user_id: int
    post_id: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class AccountCounts:
    """The counts of a user."""

    followers: int
    following: int
    posts: int


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A page of users in order of username. `last` is the last username, None on the last page."""

    items: list[Profile]
    last: str | None
