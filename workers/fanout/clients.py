"""Adapters: the followers over HTTP, the chunk queue and its lag over Kafka."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from libs.common.kafka.lag import LagMeter
from libs.common.kafka.producer import EventProducer
from libs.common.web.client import ServiceClient
from libs.contracts.base import Event
from libs.contracts.events import FanoutChunk, RemovalChunk, SlowFanoutChunk, SlowRemovalChunk
from libs.feedlists import Range
from workers.fanout.ports import AuthorAudience, Chunk, Lane

PAGE = 10_000  # ids per page: one answer has all followers of a chunk
CHUNKS_AT_ONCE = 100  # published concurrently
_EVENT: dict[tuple[Lane, bool], type[FanoutChunk]] = {
    ("push", False): FanoutChunk,
    ("push", True): RemovalChunk,
    ("slow", False): SlowFanoutChunk,
    ("slow", True): SlowRemovalChunk,
}


class UserServiceFollowers:
    """Implements `workers.fanout.ports.FollowerGraph` with the user service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def audiences(self, author_ids: Collection[int], followers_up_to: int) -> Mapping[int, AuthorAudience]:
        body = {"user_ids": list(author_ids), "followers_up_to": followers_up_to}
        answer = await self._client.query("/internal/users/audiences", body)
        return {
            author["user_id"]: AuthorAudience(author["follower_count"], author["mode"] == "push", author["followers"])
            for author in answer["audiences"]
        }

    async def ranges(self, author_id: int, size: int) -> Sequence[Range]:
        answer = await self._client.get(f"/internal/users/{author_id}/follower-ranges", {"size": size})
        return [(after, up_to) for after, up_to in answer["ranges"]]

    async def followers(self, author_id: int, within: Range) -> AsyncIterator[Sequence[int]]:
        after, up_to = within
        while True:
            params = {"after": after, "up_to": up_to, "limit": PAGE}
            answer = await self._client.get(f"/internal/users/{author_id}/follower-ids", params)
            ids: list[int] = answer["ids"]
            if ids:
                yield ids
            if len(ids) < PAGE or ids[-1] == up_to:
                return
            after = ids[-1]


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

    def __init__(self, meter: LagMeter, groups: Mapping[str, str]) -> None:
        self._meter = meter
        self._groups = groups

    async def total(self) -> int:
        return sum([await self._meter.lag(group, [topic]) for group, topic in self._groups.items()])
