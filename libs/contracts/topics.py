"""All topics: key, event types, partitions, retention. Producers and consumers are declared in libs/deployables."""

from dataclasses import dataclass

from libs.contracts import events
from libs.contracts.base import Payload

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """The contract of a topic; `key` describes the message key."""

    name: str
    key: str
    events: tuple[type[Payload], ...]
    partitions: int = 6
    retention_ms: int = 7 * DAY_MS


TOPICS: tuple[Topic, ...] = (
    Topic(
        "posts",
        "author_id",
        (events.PostCreated, events.PostUpdated, events.PostDeleted),
    ),
    Topic(
        "graph",
        "first user of the edge",
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
    ),
    Topic(
        "users",
        "user_id",
        (events.UserCreated, events.UserUpdated, events.UserBanned, events.UserUnbanned),
    ),
    Topic(
        "media",
        "media_id",
        (events.MediaUploaded, events.MediaProcessed, events.MediaFailed, events.MediaDeleted),
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
    ),
    Topic("counters", "post_id", (events.PostCounted,)),
    Topic(
        "feed.fanout",
        "author_id:after_id",
        (events.FanoutChunk, events.RemovalChunk),
    ),
    Topic(
        "feed.fanout.slow",
        "author_id:after_id",
        (events.SlowFanoutChunk, events.SlowRemovalChunk),
    ),
)
EVENT_TYPES: dict[tuple[str, int], type[Payload]] = {(e.type, e.version): e for t in TOPICS for e in t.events}


def dead_letter_topic(name: str) -> str:
    """The topic for messages of the topic `name` that can't be handled."""
    return f"{name}.dlq"
