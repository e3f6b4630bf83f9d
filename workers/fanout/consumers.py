"""Events that make fan-out work."""

from collections.abc import Sequence

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.events import FanoutChunk, PostCreated, PostDeleted, PostEvent, RemovalChunk
from workers.fanout.ports import Chunk, DeliveredPost
from workers.fanout.service.fanout import Fanout, Ledgers


class FanoutConsumers:
    """Handlers of the topics `posts`, `feed.fanout` and `feed.fanout.slow`."""

    def __init__(self, fanout: Fanout, ledgers: Ledgers) -> None:
        self._fanout = fanout
        self._ledgers = ledgers

    async def on_posts(self, deliveries: Sequence[ReceivedEvent]) -> None:
        """Start the fan-out of each new post, then of each delete."""
        await self._fanout.take_posts(_posts(deliveries, PostCreated))
        await self._fanout.take_deletes(_posts(deliveries, PostDeleted))

    async def on_chunks(self, deliveries: Sequence[ReceivedEvent]) -> None:
        """Deliver each chunk."""
        await self._fanout.take_chunks("push", _chunks(deliveries))

    async def on_slow_chunks(self, deliveries: Sequence[ReceivedEvent]) -> None:
        """Deliver each chunk, not too fast."""
        await self._fanout.take_chunks("slow", _chunks(deliveries))

    async def on_dead_letter(self, delivery: ReceivedEvent) -> None:
        """Note in the ledger what does not go on."""
        payload = delivery.payload
        if isinstance(payload, FanoutChunk):
            ledger = self._ledgers.removals if isinstance(payload, RemovalChunk) else self._ledgers.posts
            await ledger.died(payload.post_id, payload.after_id)
        elif isinstance(payload, PostCreated | PostDeleted):
            ledger = self._ledgers.removals if isinstance(payload, PostDeleted) else self._ledgers.posts
            await ledger.died(payload.post_id)


def _posts(deliveries: Sequence[ReceivedEvent], kind: type[PostEvent]) -> list[DeliveredPost]:
    payloads = [delivery.payload for delivery in deliveries if isinstance(delivery.payload, kind)]
    return [DeliveredPost(payload.post_id, payload.author_id) for payload in payloads]


def _chunks(deliveries: Sequence[ReceivedEvent]) -> list[Chunk]:
    payloads = [delivery.payload for delivery in deliveries if isinstance(delivery.payload, FanoutChunk)]
    return [
        Chunk(DeliveredPost(p.post_id, p.author_id), (p.after_id, p.up_to_id), removes=isinstance(p, RemovalChunk))
        for p in payloads
    ]
