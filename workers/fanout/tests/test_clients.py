"""What goes over the wire, and what a consumer makes of it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from libs.clients.user import UserClient
from libs.common.kafka.consumer import ReceivedEvent
from libs.common.kafka.lag import GroupProgress, LagMeter
from libs.common.kafka.producer import EventProducer
from libs.common.web.client import ServiceClient
from libs.contracts.base import Event
from libs.contracts.codec import decode
from libs.contracts.events import FanoutChunk, PostCreated, PostDeleted, SlowRemovalChunk
from libs.contracts.internal.user import FOLLOWERS_A_PAGE as PAGE
from workers.fanout.clients import KafkaChunkQueue, KafkaLag
from workers.fanout.consumers import FanoutConsumers
from workers.fanout.ports import Chunk, Lane
from workers.fanout.tests.world import POST, InMemoryGraph, World


class RecordingProducer:
    def __init__(self) -> None:
        self.events: list[Event] = []

    async def publish(self, event: Event) -> None:
        self.events.append(event)


class PagedUserService:
    """Answers `follower-ids` of one author."""

    def __init__(self, ids: range) -> None:
        self.ids = ids
        self.calls = 0

    async def get(self, path: str, params: Mapping[str, int]) -> dict[str, Any]:
        self.calls += 1
        page = [i for i in self.ids if params["after"] < i <= params["up_to"]]
        return {"ids": page[: params["limit"]]}


async def test_every_lane_has_its_topic_and_its_consumer_delivers_what_was_put() -> None:
    ranges = [(n, n + 1) for n in range(250)]
    puts, removals = [[Chunk(POST, within, removes) for within in ranges] for removes in (False, True)]
    lanes: dict[Lane, str] = {"push": "feed.fanout", "slow": "feed.fanout.slow"}
    for lane, topic in lanes.items():
        producer = RecordingProducer()
        queue = KafkaChunkQueue(cast("EventProducer", producer))
        await queue.put(lane, puts)
        await queue.put(lane, removals)
        assert len({event.event_id for event in producer.events}) == 500
        world = World(InMemoryGraph(range(1, 251)))
        consumers = FanoutConsumers(world.fanout, world.ledgers)
        handler = consumers.on_chunks if lane == "push" else consumers.on_slow_chunks
        for _ in range(2):
            await handler([_delivered(event, topic) for event in producer.events[:250]])
            assert world.everyone_has(POST)
            assert len(world.rate.taken) == (250 if lane == "slow" else 0)
        for _ in range(2):
            await handler([_delivered(event, topic) for event in producer.events[250:]])
            assert world.feeds.held == set()


async def test_a_batch_takes_posts_before_deletes_and_dead_letters_are_noted() -> None:
    world = World(InMemoryGraph(range(1, 9)))
    consumers = FanoutConsumers(world.fanout, world.ledgers)
    deleted = PostDeleted(post_id=100, author_id=1)
    created = PostCreated(post_id=100, author_id=1, created_at=datetime.now(UTC))
    batch = [_delivered(Event(payload=one, entity="x", entity_version=1), "posts") for one in (deleted, created)]
    for _ in range(2):
        await consumers.on_posts(batch)
        assert world.feeds.held == set()
        assert (world.ledger.modes, world.removals.modes) == ({100: "push"}, {100: "push"})
    for kind in (FanoutChunk, SlowRemovalChunk):
        chunk = kind(post_id=100, author_id=1, after_id=5, up_to_id=9)
        batch.append(_delivered(Event(payload=chunk, entity="x", entity_version=1), kind.topic))
    for one in batch:
        await consumers.on_dead_letter(one)
    assert world.ledger.dead == world.removals.dead == {(100, None), (100, 5)}


async def test_followers_come_page_by_page_until_the_end_of_the_range() -> None:
    for up_to, sizes in (
        (PAGE + 5, [PAGE, 5]),
        (2 * PAGE, [PAGE, PAGE]),
    ):
        service = PagedUserService(range(3 * PAGE))
        graph = UserClient(cast("ServiceClient", service))
        pages = [page async for page in graph.followers(1, (0, up_to))]
        assert [len(page) for page in pages] == sizes
        assert [i for page in pages for i in page] == list(range(1, up_to + 1))
        assert service.calls == 2


async def test_the_lag_is_that_of_all_groups() -> None:
    class Meter:
        async def progress(self, groups: Mapping[str, Sequence[str]]) -> dict[str, GroupProgress]:
            lags = {"a x": 3, "b y": 4}
            return {group: GroupProgress(lags[" ".join((group, *topics))], 0) for group, topics in groups.items()}

    assert await KafkaLag(cast("LagMeter", Meter()), {"a": ["x"], "b": ["y"]}).total() == 7


def _delivered(event: Event, topic: str) -> ReceivedEvent:
    assert event.payload.topic == topic
    received = decode(event.envelope("test").encode())
    assert received is not None
    return ReceivedEvent(received.envelope, received.payload, 0, 0)
