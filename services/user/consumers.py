"""Consumes created and deleted posts, for the post count."""

from collections.abc import Sequence

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.events import PostCreated, PostDeleted
from services.user.domain.people import AuthoredPost
from services.user.ports import AuthoredPostStore


class UserConsumers:
    """Event handlers of the user service."""

    def __init__(self, store: AuthoredPostStore) -> None:
        self._store = store

    async def on_posts(self, events: Sequence[ReceivedEvent]) -> None:
        """Record posts. Idempotent, in any order."""
        changes = [
            AuthoredPost(event.payload.author_id, event.payload.post_id, isinstance(event.payload, PostDeleted))
            for event in events
            if isinstance(event.payload, PostCreated | PostDeleted)
        ]
        if changes:
            await self._store.apply(changes)
