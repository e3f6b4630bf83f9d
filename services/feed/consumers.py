"""Events that change what feeds hold or what kept pages may show."""

from collections.abc import Sequence

from libs.common.contracts.events import FollowCreated
from libs.common.kafka.consumer import Delivery
from services.feed.candidates import PULL_EACH, CandidateSource
from services.feed.ports import Acts, Lists, Posts


class FeedConsumers:
    """Handlers; each may run twice."""

    def __init__(self, source: CandidateSource, posts: Posts, lists: Lists, acts: Acts) -> None:
        self._source = source
        self._posts = posts
        self._lists = lists
        self._acts = acts

    async def on_events(self, deliveries: Sequence[Delivery]) -> None:
        """One partition's events, in order."""
        payloads = [delivery.payload for delivery in deliveries]
        for payload in payloads:
            if isinstance(payload, FollowCreated):
                await self._bring(payload.follower_id, payload.followee_id)
        await self._acts.mark(
            {user for payload in payloads for user in payload.touches()},
            {post for payload in payloads for post in payload.buries()},
        )

    async def _bring(self, follower_id: int, followee_id: int) -> None:
        """The followee's recent posts into a list that exists; an absent one is built from all followees when read."""
        recent = await self._posts.recent([followee_id], self._source.window_start(), None, PULL_EACH)
        if recent:
            await self._lists.merge(follower_id, recent, whole=False)
