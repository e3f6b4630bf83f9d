"""Fan-out, the whole way: one worker process, from an event on Kafka to the feeds of 50,000 followers in PostgreSQL."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx2
from aiokafka.admin import AIOKafkaAdminClient

from bench.fanout import BUCKETS, PAGE, best, clear, fill
from bench.figures import Row
from libs.common.core.ids import first_id_at, now_ms
from libs.common.core.settings import Settings
from libs.common.kafka.admin import create_topics
from libs.common.kafka.producer import EventProducer
from libs.common.stores.postgres import Postgres, open_postgres
from libs.common.stores.redis import open_redis
from libs.common.testing.eventually import eventually
from libs.contracts.base import Event, utc_now
from libs.contracts.events import PostCreated
from libs.contracts.topics import TOPICS, dead_letter_topic
from libs.feedlists import CAP, DeliveryProgress, FeedLists

NAMESPACE = "bench_"  # the worker's own topics and lists; followers come from the running user service
AUTHORS = (
    "INSERT INTO users (user_id, username, email, password_hash, display_name, version, created_at) "
    "SELECT id, 'bench_' || id, 'bench_' || id || '@example.com', '', '', 1, now() FROM unnest($1::bigint[]) id"
)
COUNTS = "INSERT INTO user_counts (user_id, slot, followers) SELECT unnest($1::bigint[]), 0, unnest($2::bigint[])"
FOLLOWS = (
    "INSERT INTO follows (follower_id, followee_id, created_at) "
    "SELECT unnest($1::bigint[]), unnest($2::bigint[]), now()"
)
FORGET = (
    "DELETE FROM follows WHERE followee_id = ANY($1)",
    "DELETE FROM user_counts WHERE user_id = ANY($1)",
    "DELETE FROM users WHERE user_id = ANY($1)",
)


@dataclass(frozen=True, slots=True)
class Size:
    """One post is delivered in each round."""

    followers: int = 50_000
    rounds: int = 5


async def measure(running: Settings, size: Size = Size()) -> list[Row]:
    """Feeds written a second by the worker, and by bare pushes into the same feeds; the best of the rounds."""
    settings = running.model_copy(update={"namespace": NAMESPACE})
    author = first_id_at(now_ms())
    followers = [author + n * 4_096 for n in range(1, size.followers + 1)]
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(settings))
        stack.push_async_callback(clear, redis, f"{NAMESPACE}*")
        lists = FeedLists(redis, settings.redis_prefix("feed"), BUCKETS)
        await fill(lists, followers, author)
        postgres = await stack.enter_async_context(open_postgres(running, running.keyspace("user")))
        await stack.enter_async_context(audience(postgres, {author: followers}))
        await stack.enter_async_context(topics(settings))
        await stack.enter_async_context(worker(10 * size.followers))
        producer = await stack.enter_async_context(EventProducer(settings, "bench"))
        ledger, first = DeliveryProgress(redis, settings.redis_prefix("feed")), author + CAP + 1
        way = [await _way(producer, ledger, author, first + n) for n in range(size.rounds)]
        bare = [await _bare(lists, followers, first + size.rounds + n) for n in range(size.rounds)]
    ours, reference = (best([size.followers / seconds for seconds in rounds]) for rounds in (way, bare))
    return [Row("… from Kafka and PostgreSQL, beside bare pushes", ours, reference, f"best of {size.rounds}")]


async def _way(producer: EventProducer, ledger: DeliveryProgress, author_id: int, post_id: int) -> float:
    started = utc_now()
    created = PostCreated(post_id=post_id, author_id=author_id, created_at=started)
    await producer.publish(Event(payload=created, entity=str(post_id), entity_version=1))

    async def finished() -> float | None:
        state = await ledger.of(post_id)
        return (state.finished_at - started).total_seconds() if state and state.finished_at else None

    seconds = await eventually(finished)
    assert seconds is not None
    return seconds


async def _bare(lists: FeedLists, followers: list[int], post_id: int) -> float:
    started = time.perf_counter()
    for start in range(0, len(followers), PAGE):
        await lists.deliver(followers[start : start + PAGE], [post_id])
    return time.perf_counter() - started


@asynccontextmanager
async def audience(postgres: Postgres, followers: Mapping[int, Sequence[int]]) -> AsyncIterator[None]:
    """Authors with their followers, who have no accounts; all are deleted at the end."""
    authors = list(followers)
    edges = [(reader, author) for author, readers in followers.items() for reader in readers]
    try:
        await postgres.execute(AUTHORS, authors)
        await postgres.execute(COUNTS, authors, [len(readers) for readers in followers.values()])
        await postgres.execute(FOLLOWS, [reader for reader, _ in edges], [author for _, author in edges])
        yield
    finally:
        for statement in FORGET:
            await postgres.execute(statement, authors)


@asynccontextmanager
async def topics(settings: Settings) -> AsyncIterator[None]:
    """Topics of the settings' namespace, which are deleted at the end."""
    await create_topics(settings)
    try:
        yield
    finally:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
        await admin.start()
        names = [topic.name for topic in TOPICS]
        await admin.delete_topics([settings.topic(name) for name in (*names, *map(dead_letter_topic, names))])
        await admin.close()


@asynccontextmanager
async def worker(slow_lane_from: int) -> AsyncIterator[None]:
    """One fan-out worker on these topics, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    overrides = {
        "NAMESPACE": NAMESPACE,
        "PORT": port,
        "FEED_BUCKETS": BUCKETS,
        "CHUNK_FOLLOWERS": PAGE,
        "SLOW_LANE_FROM": slow_lane_from,
    }
    env = {**os.environ, **{f"FEEDMILL_{name}": str(value) for name, value in overrides.items()}}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "workers.fanout", env=env)
    try:
        await eventually(lambda: _ready(port))
        yield
    finally:
        process.terminate()
        await process.wait()


async def _ready(port: int) -> bool:
    async with httpx2.AsyncClient() as http:
        try:
            return (await http.get(f"http://127.0.0.1:{port}/health/ready")).status_code == 200
        except httpx2.TransportError:
            return False
