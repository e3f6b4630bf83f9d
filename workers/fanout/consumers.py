"""Events that make fan-out work."""

from collections.abc import Sequence

from libs.common.contracts.events import FanoutChunk, PostCreated
from libs.common.kafka.consumer import Delivery
from workers.fanout.ports import Chunk, Post
from workers.fanout.service import Fanout


class FanoutConsumers:
    """Handlers of the topics `posts`, `feed.fanout` and `feed.fanout.slow`."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout

    async def on_posts(self, deliveries: Sequence[Delivery]) -> None:
        """Start the fan-out of each new post."""
        created = [delivery.payload for delivery in deliveries if isinstance(delivery.payload, PostCreated)]
        await self._fanout.take_posts([Post(payload.post_id, payload.author_id) for payload in created])

    async def on_chunks(self, deliveries: Sequence[Delivery]) -> None:
        """Deliver each chunk."""
        await self._fanout.take_chunks("push", _chunks(deliveries))

    async def on_slow_chunks(self, deliveries: Sequence[Delivery]) -> None:
        """Deliver each chunk, not too fast."""
        await self._fanout.take_chunks("slow", _chunks(deliveries))


def _chunks(deliveries: Sequence[Delivery]) -> list[Chunk]:
    payloads = [delivery.payload for delivery in deliveries if isinstance(delivery.payload, FanoutChunk)]
    return [Chunk(Post(p.post_id, p.author_id), (p.after_id, p.up_to_id)) for p in payloads]
