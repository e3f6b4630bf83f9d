"""Event handlers of the fan-out worker."""

from collections.abc import Sequence

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.events import FanoutChunk, PostCreated, PostDeleted, PostEvent, RemovalChunk
from workers.fanout.ports import Chunk, PostRef
from workers.fanout.service.fanout import Fanout, Ledgers


class FanoutConsumers:
    """Handlers of the topics `posts`, `feed.fanout` and `feed.fanout.slow`."""

    def __init__(self, fanout: Fanout, ledgers: Ledgers) -> None:
        self._fanout = fanout
        self._ledgers = ledgers

    async def on_posts(self, events: Sequence[ReceivedEvent]) -> None:
        """Fan out new posts, then deletes."""
        await self._fanout.take_posts(_posts(events, PostCreated))
        await self._fanout.take_deletes(_posts(events, PostDeleted))

    async def on_chunks(self, events: Sequence[ReceivedEvent]) -> None:
        await self._fanout.take_chunks("push", _chunks(events))

    async def on_slow_chunks(self, events: Sequence[ReceivedEvent]) -> None:
        await self._fanout.take_chunks("slow", _chunks(events))

    async def on_dead_letter(self, event: ReceivedEvent) -> None:
        """Note in the ledger that the chunk or post will not be delivered."""
        payload = event.payload
        if isinstance(payload, FanoutChunk):
            ledger = self._ledgers.removals if isinstance(payload, RemovalChunk) else self._ledgers.posts
            await ledger.died(payload.post_id, payload.after_id)
        elif isinstance(payload, PostCreated | PostDeleted):
            ledger = self._ledgers.removals if isinstance(payload, PostDeleted) else self._ledgers.posts
            await ledger.died(payload.post_id)


def _posts(events: Sequence[ReceivedEvent], kind: type[PostEvent]) -> list[PostRef]:
    payloads = [event.payload for event in events if isinstance(event.payload, kind)]
    return [PostRef(payload.post_id, payload.author_id) for payload in payloads]


def _chunks(events: Sequence[ReceivedEvent]) -> list[Chunk]:
    payloads = [event.payload for event in events if isinstance(event.payload, FanoutChunk)]
    return [
        Chunk(PostRef(p.post_id, p.author_id), (p.after_id, p.up_to_id), removes=isinstance(p, RemovalChunk))
        for p in payloads
    ]
