"""The graph over HTTP, the chunk queue over Kafka."""

from collections.abc import AsyncIterator, Sequence

from libs.common.contracts.base import Event
from libs.common.contracts.events import FanoutChunk
from libs.common.kafka.producer import EventProducer
from libs.common.runtime.errors import NotFoundError
from libs.common.runtime.http import ServiceClient
from workers.fanout.ports import Audience, Range

PAGE = 1_000  # ids a page; the user service answers one with a single row


class UserServiceGraph:
    """Asks the user service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def audience(self, author_id: int) -> Audience | None:
        try:
            answer = await self._client.get(f"/internal/users/{author_id}/audience")
        except NotFoundError:
            return None
        return Audience(answer["follower_count"], answer["mode"] == "push")

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
            if len(ids) < PAGE:
                return
            after = ids[-1]


class KafkaChunkQueue:
    """Chunks on the topic `feed.fanout`."""

    def __init__(self, producer: EventProducer) -> None:
        self._producer = producer

    async def put(self, author_id: int, post_id: int, within: Range) -> None:
        chunk = FanoutChunk(post_id=post_id, author_id=author_id, after_id=within[0], up_to_id=within[1])
        await self._producer.publish(Event(payload=chunk, entity=f"{post_id}:{within[0]}", entity_version=1))
