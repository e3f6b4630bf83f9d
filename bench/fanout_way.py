"""Fan-out, the whole way: one worker process, from an event on Kafka to the feeds of 50,000 followers in PostgreSQL."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
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
AUTHOR = (
    "INSERT INTO users (user_id, username, email, password_hash, display_name, version, created_at) "
    "VALUES ($1, 'bench_fanout', 'bench_fanout@example.com', '', '', 1, now())"
)
COUNT = "INSERT INTO user_counts (user_id, slot, followers) VALUES ($1, 0, $2)"
FOLLOW = "INSERT INTO follows (follower_id, followee_id, created_at) SELECT unnest($2::bigint[]), $1, now()"
FORGET = (
    "DELETE FROM follows WHERE followee_id = $1",
    "DELETE FROM user_counts WHERE user_id = $1",
    "DELETE FROM users WHERE user_id = $1",
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
        await stack.enter_async_context(_audience(postgres, author, followers))
        await stack.enter_async_context(_topics(settings))
        await stack.enter_async_context(_worker(10 * size.followers))
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
async def _audience(postgres: Postgres, author: int, followers: list[int]) -> AsyncIterator[None]:
    try:
        await postgres.execute(AUTHOR, author)
        await postgres.execute(COUNT, author, len(followers))
        await postgres.execute(FOLLOW, author, followers)
        yield
    finally:
        for statement in FORGET:
            await postgres.execute(statement, author)


@asynccontextmanager
async def _topics(settings: Settings) -> AsyncIterator[None]:
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
async def _worker(slow_lane_from: int) -> AsyncIterator[None]:
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
