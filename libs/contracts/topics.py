"""Every topic, as data: who produces, who consumes, how it is kept. `docs/events.md` is generated from it."""

from dataclasses import dataclass

from libs.contracts import events
from libs.contracts.base import Payload

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and its contract."""

    name: str
    key: str
    events: tuple[type[Payload], ...]
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    partitions: int = 6
    retention_ms: int = 7 * DAY_MS


TOPICS: tuple[Topic, ...] = (
    Topic(
        "posts",
        "author_id",
        (events.PostCreated, events.PostUpdated, events.PostDeleted),
        ("services.post",),
        ("services.feed", "services.media", "services.user", "workers.fanout"),
    ),
    Topic(
        "graph",
        "whom the edge goes from",
        (
            events.FollowCreated,
            events.FollowDeleted,
            events.FollowRequestCreated,
            events.FollowRequestDeleted,
            events.BlockCreated,
            events.BlockDeleted,
            events.MuteCreated,
            events.MuteDeleted,
        ),
        ("services.user",),
        ("services.feed",),
    ),
    Topic(
        "users",
        "user_id",
        (events.UserCreated, events.UserUpdated, events.UserBanned, events.UserUnbanned),
        ("services.user",),
        ("services.feed",),
    ),
    Topic(
        "media",
        "media_id",
        (events.MediaUploaded, events.MediaProcessed, events.MediaFailed, events.MediaDeleted),
        ("services.media", "workers.media"),
        ("services.media", "services.post", "workers.media"),
    ),
    Topic(
        "interactions",
        "post_id",
        (
            events.LikeCreated,
            events.LikeDeleted,
            events.SaveCreated,
            events.SaveDeleted,
            events.CommentCreated,
            events.CommentDeleted,
            events.CommentLikeCreated,
            events.CommentLikeDeleted,
            events.ViewRecorded,
            events.CountsAudited,
        ),
        ("services.interaction",),
        ("services.feed", "workers.counters"),
    ),
    Topic("counters", "post_id", (events.PostCounted,), ("workers.counters",), ("services.post",)),
    Topic(
        "feed.fanout",
        "author_id:after_id",
        (events.FanoutChunk, events.RemovalChunk),
        ("workers.fanout",),
        ("workers.fanout",),
    ),
    Topic(
        "feed.fanout.slow",
        "author_id:after_id",
        (events.SlowFanoutChunk, events.SlowRemovalChunk),
        ("workers.fanout",),
        ("workers.fanout",),
    ),
)

EVENT_TYPES: dict[tuple[str, int], type[Payload]] = {(e.type, e.version): e for t in TOPICS for e in t.events}


def dead_letter_topic(name: str) -> str:
    """Where messages of topic `name` go that can't be handled."""
    return f"{name}.dlq"
