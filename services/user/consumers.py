"""Posts that come and go, for the post count."""

from collections.abc import Sequence

from libs.common.kafka.consumer import Delivery
from libs.contracts.events import PostCreated, PostDeleted
from services.user.domain.people import Authored
from services.user.ports import AuthoredStore

POSTS_GROUP = "user-posts"


class CountPosts:
    """Keeps the membership of posts."""

    def __init__(self, store: AuthoredStore) -> None:
        self._store = store

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        """Idempotent, in any order."""
        payloads = [delivery.payload for delivery in deliveries]
        changes = [
            Authored(payload.author_id, payload.post_id, isinstance(payload, PostDeleted))
            for payload in payloads
            if isinstance(payload, PostCreated | PostDeleted)
        ]
        if changes:
            await self._store.apply(changes)
