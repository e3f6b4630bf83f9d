"""Events that change what feeds hold or what kept pages may show."""

from collections.abc import Sequence

from libs.common.contracts.events import FollowCreated, FollowEvent, InteractionEvent, PostDeleted, PostEvent
from libs.common.kafka.consumer import Delivery
from services.feed.candidates import PULL_EACH, CandidateSource
from services.feed.ports import Cache, Lists, Posts


class FeedConsumers:
    """Handlers; each may run twice."""

    def __init__(self, source: CandidateSource, posts: Posts, lists: Lists, cache: Cache) -> None:
        self._source = source
        self._posts = posts
        self._lists = lists
        self._cache = cache

    async def on_events(self, deliveries: Sequence[Delivery]) -> None:
        """One partition's events, in order."""
        touched: set[int] = set()
        for delivery in deliveries:
            match delivery.payload:
                case FollowCreated(follower_id=follower_id, followee_id=followee_id):
                    await self._bring(follower_id, followee_id)
                    touched.add(follower_id)
                case FollowEvent(follower_id=follower_id):
                    touched.add(follower_id)
                case PostDeleted(post_id=post_id, author_id=author_id):
                    await self._cache.bury(post_id)
                    touched.add(author_id)
                case PostEvent(author_id=author_id):
                    touched.add(author_id)
                case InteractionEvent(actor_id=actor_id):
                    touched.add(actor_id)
        if touched:
            await self._cache.touch(touched)

    async def _bring(self, follower_id: int, followee_id: int) -> None:
        """The followee's recent posts into a list that exists; an absent one is built from all followees when read."""
        recent = await self._posts.recent([followee_id], self._source.window_start(), None, PULL_EACH)
        if recent:
            await self._lists.merge(follower_id, recent, whole=False)
