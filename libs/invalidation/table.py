"""A table of the cache stamps that each event invalidates, for the producers and the consumers of events."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from libs.contracts import events
from libs.contracts.base import Payload


@dataclass(frozen=True, slots=True)
class Invalidation:
    """Ids whose stamps change.

    `active`: users whose own feed changes. `changed`: posts and authors of which no feed may show a cached copy.
    `visibility`: users of which it changes who may see them, or which users they may see. `profiles`: users whose name,
    picture or ban changes.
    """

    active: Collection[int] = frozenset()
    changed: Collection[int] = frozenset()
    visibility: Collection[int] = frozenset()
    profiles: Collection[int] = frozenset()
    posted: Collection[tuple[int, int]] = frozenset()
    """New posts, as (author id, post id)."""
    followees: bool = False
    """Whether the followees of unknown readers change: those who follow this author."""
    all_pages: bool = False
    """Whether every cached page changes: no page records the posts that it did not show."""

    @classmethod
    def merge(cls, parts: Iterable[Self]) -> Self:
        """The union of the parts."""
        found = list(parts)
        return cls(
            frozenset().union(*(part.active for part in found)),
            frozenset().union(*(part.changed for part in found)),
            frozenset().union(*(part.visibility for part in found)),
            frozenset().union(*(part.profiles for part in found)),
            frozenset().union(*(part.posted for part in found)),
            any(part.followees for part in found),
            any(part.all_pages for part in found),
        )


def _active(*fields: str) -> Callable[[Any], Invalidation]:
    return lambda payload: Invalidation(active=_ids(payload, fields))


def _relation(*fields: str) -> Callable[[Any], Invalidation]:
    return lambda payload: Invalidation(active=_ids(payload, fields), visibility=_ids(payload, fields))


def _ids(payload: Payload, fields: Iterable[str]) -> frozenset[int]:
    return frozenset(getattr(payload, field) for field in fields)


def _posted(payload: Any) -> Invalidation:
    return Invalidation(active={payload.author_id}, posted={(payload.author_id, payload.post_id)})


def _post_changed(payload: Any) -> Invalidation:
    return Invalidation(active={payload.author_id}, changed={payload.post_id})


def _edited(payload: Any) -> Invalidation:
    user = {payload.user_id}
    return Invalidation(active=user, visibility=user, profiles=user)


def _banned(payload: Any) -> Invalidation:
    user = {payload.user_id}
    return Invalidation(changed=user, visibility=user, profiles=user, followees=True)


def _unbanned(payload: Any) -> Invalidation:
    return Invalidation(profiles={payload.user_id}, followees=True, all_pages=True)


TABLE: Mapping[type[Payload], Callable[[Any], Invalidation]] = {
    events.PostCreated: _posted,
    events.PostUpdated: _post_changed,
    events.PostDeleted: _post_changed,
    events.FollowCreated: _relation("follower_id"),
    events.FollowDeleted: _relation("follower_id"),
    events.BlockCreated: _relation("blocker_id", "blocked_id"),
    events.BlockDeleted: _relation("blocker_id", "blocked_id"),
    events.MuteCreated: _relation("muter_id"),
    events.MuteDeleted: _relation("muter_id"),
    events.UserUpdated: _edited,
    events.UserBanned: _banned,
    events.UserUnbanned: _unbanned,
    events.LikeCreated: _active("actor_id"),
    events.LikeDeleted: _active("actor_id"),
    events.SaveCreated: _active("actor_id"),
    events.SaveDeleted: _active("actor_id"),
    events.CommentCreated: _active("actor_id"),
    events.CommentDeleted: _active("actor_id"),
}
"""Events that are absent invalidate nothing."""


def invalidation_of(payload: Payload) -> Invalidation:
    """Return the ids that `payload` invalidates."""
    rule = TABLE.get(type(payload))
    return rule(payload) if rule else Invalidation()
