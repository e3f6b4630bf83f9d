"""The chunk queue and its lag over Kafka."""

import asyncio
from collections.abc import Mapping, Sequence

from libs.common.kafka.lag import LagMeter
from libs.common.kafka.producer import EventProducer
from libs.contracts.base import Event
from libs.contracts.events import FanoutChunk, RemovalChunk, SlowFanoutChunk, SlowRemovalChunk
from workers.fanout.ports import Chunk, Lane

CHUNKS_AT_ONCE = 100  # published concurrently
_EVENT: dict[tuple[Lane, bool], type[FanoutChunk]] = {
    ("push", False): FanoutChunk,
    ("push", True): RemovalChunk,
    ("slow", False): SlowFanoutChunk,
    ("slow", True): SlowRemovalChunk,
}


class KafkaChunkQueue:
    """Implements `ChunkQueue` with the topics `feed.fanout` and `feed.fanout.slow`."""

    def __init__(self, producer: EventProducer) -> None:
        self._producer = producer

    async def put(self, lane: Lane, chunks: Sequence[Chunk]) -> None:
        for start in range(0, len(chunks), CHUNKS_AT_ONCE):
            await asyncio.gather(*(self._put_one(lane, chunk) for chunk in chunks[start : start + CHUNKS_AT_ONCE]))

    async def _put_one(self, lane: Lane, chunk: Chunk) -> None:
        post, (after_id, up_to_id) = chunk.post, chunk.within
        event = _EVENT[lane, chunk.removes]
        payload = event(post_id=post.post_id, author_id=post.author_id, after_id=after_id, up_to_id=up_to_id)
        await self._producer.publish(Event(payload=payload, entity=f"{post.post_id}:{after_id}", entity_version=1))


class KafkaLag:
    """Implements `LagSource` for the consumer groups of the fan-out workers."""

    def __init__(self, meter: LagMeter, groups: Mapping[str, Sequence[str]]) -> None:
        self._meter = meter
        self._groups = groups

    async def total(self) -> int:
        return sum(one.lag for one in (await self._meter.progress(self._groups)).values())
