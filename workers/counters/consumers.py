"""The event handler of the counters worker."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.base import Payload
from libs.contracts.events import (
    CommentCreated,
    CommentDeleted,
    CommentLikeCreated,
    CommentLikeEvent,
    CountsAudited,
    InteractionEvent,
    LikeCreated,
    LikeDeleted,
    SaveCreated,
    SaveDeleted,
    ViewRecorded,
)
from libs.contracts.public import CountKind
from workers.counters.domain import CommentPlace, MembershipChange
from workers.counters.service.counting import PostCounters

STEP = 200  # events applied together, so that a ledger batch is far below Cassandra's limit of 50 KiB
_MEANING: dict[type[Payload], tuple[CountKind, bool]] = {
    LikeCreated: (CountKind.LIKE, True),
    LikeDeleted: (CountKind.LIKE, False),
    SaveCreated: (CountKind.SAVE, True),
    SaveDeleted: (CountKind.SAVE, False),
    CommentCreated: (CountKind.COMMENT, True),
    CommentDeleted: (CountKind.COMMENT, False),
    ViewRecorded: (CountKind.VIEW, True),
}


class CounterConsumers:
    """The handler of the topic `interactions`."""

    def __init__(self, counters: PostCounters) -> None:
        self._counters = counters

    async def on_interactions(self, events: Sequence[ReceivedEvent]) -> None:
        """Apply the events in steps; within a step, posts and comments are updated concurrently."""
        for start in range(0, len(events), STEP):
            step = events[start : start + STEP]
            by_post: dict[int, list[tuple[CountKind, MembershipChange]]] = defaultdict(list)
            recounted: dict[int, set[CountKind]] = defaultdict(set)
            by_comment: dict[CommentPlace, list[MembershipChange]] = defaultdict(list)
            for event in step:
                payload = event.payload
                if isinstance(payload, CountsAudited):
                    by_post[payload.post_id] += _audited(payload)
                    recounted[payload.post_id].add(payload.kind)
                elif isinstance(payload, CommentLikeEvent):
                    place = CommentPlace(payload.post_id, payload.parent_id or 0, payload.comment_id)
                    is_like = isinstance(payload, CommentLikeCreated)
                    by_comment[place].append(MembershipChange(payload.actor_id, is_like, event.envelope.entity_version))
                elif isinstance(payload, InteractionEvent) and type(payload) in _MEANING:
                    by_post[payload.post_id].append(_change(payload, event.envelope.entity_version))
            last = step[-1].offset
            await asyncio.gather(
                *(
                    self._counters.apply(post_id, changes, last, recounted[post_id])
                    for post_id, changes in by_post.items()
                ),
                *(self._counters.apply_likes(place, changes, last) for place, changes in by_comment.items()),
            )


def _audited(payload: CountsAudited) -> list[tuple[CountKind, MembershipChange]]:
    return [
        (payload.kind, MembershipChange(audited.member, audited.present, audited.version, audited=True))
        for audited in payload.members
    ]


def _change(payload: InteractionEvent, version: int) -> tuple[CountKind, MembershipChange]:
    kind, present = _MEANING[type(payload)]
    member = payload.comment_id if isinstance(payload, CommentCreated | CommentDeleted) else payload.actor_id
    return kind, MembershipChange(member, present, version)
