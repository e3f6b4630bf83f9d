"""Events that make fan-out work."""

from collections.abc import Sequence

from libs.common.contracts.events import FanoutChunk, PostCreated
from libs.common.kafka.consumer import Delivery
from workers.fanout.service import Fanout


class FanoutConsumers:
    """Handlers of the topics `posts` and `feed.fanout`."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout

    async def on_posts(self, deliveries: Sequence[Delivery]) -> None:
        """Start the fan-out of each new post."""
        for delivery in deliveries:
            if isinstance(delivery.payload, PostCreated):
                await self._fanout.post_created(delivery.payload.author_id, delivery.payload.post_id)

    async def on_chunks(self, deliveries: Sequence[Delivery]) -> None:
        """Deliver each chunk."""
        for delivery in deliveries:
            if isinstance(delivery.payload, FanoutChunk):
                chunk = delivery.payload
                await self._fanout.deliver(chunk.author_id, chunk.post_id, (chunk.after_id, chunk.up_to_id))
