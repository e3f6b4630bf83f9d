"""Small authors: `post.created` events a second that one worker process handles, over followers in PostgreSQL."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from bench.fanout import BUCKETS, PIPELINE, best, clear
from bench.fanout_way import NAMESPACE, audience, topics, worker
from bench.figures import Figure, Row
from libs.common.core.ids import first_id_at, now_ms
from libs.common.core.settings import Settings
from libs.common.kafka.lag import LagMeter
from libs.common.kafka.producer import EventProducer
from libs.common.stores.postgres import open_postgres
from libs.common.stores.redis import open_redis
from libs.common.testing.eventually import eventually
from libs.contracts.base import utc_now
from libs.contracts.events import PostCreated
from libs.feedlists import DeliveryProgress, FeedLists

FOLLOWERS = (1, 1, 1, 1, 2, 2, 3, 5)  # of successive authors
SAMPLE = 100  # posts whose delivery is checked
AT_LEAST = Figure(3_000, "events/s")  # of one worker process
SLOW_LANE_FROM = 10_000  # the default
DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class Size:
    """`posts` are those of a round. The first of the `rounds` also warms up."""

    authors: int = 5_000
    readers: int = 10_000
    posts: int = 10_000
    rounds: int = 3


async def measure(running: Settings, size: Size = Size()) -> list[Row]:
    """Rows of the table: events from the first on Kafka until the worker has committed the last, then the same again.

    Both are the best of the rounds.
    """
    settings = running.model_copy(update={"namespace": NAMESPACE})
    start_id = first_id_at(now_ms())
    authors = [start_id + n * 4_096 for n in range(size.authors)]
    readers = [start_id + (size.authors + n) * 4_096 for n in range(size.readers)]
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(settings))
        stack.push_async_callback(clear, redis, f"{NAMESPACE}*")
        lists = FeedLists(redis, settings.redis_prefix("feed"), BUCKETS)
        for start in range(0, size.readers, PIPELINE):
            await asyncio.gather(*map(lists.begin, readers[start : start + PIPELINE]))
        postgres = await stack.enter_async_context(open_postgres(running, running.keyspace("user")))
        followers = {
            author: [readers[(3 * at + n) % size.readers] for n in range(FOLLOWERS[at % len(FOLLOWERS)])]
            for at, author in enumerate(authors)
        }
        await stack.enter_async_context(audience(postgres, followers))
        await stack.enter_async_context(topics(settings))
        await stack.enter_async_context(worker(SLOW_LANE_FROM))
        producer = await stack.enter_async_context(EventProducer(settings, "bench"))
        meter = await stack.enter_async_context(LagMeter(settings))
        ledger = DeliveryProgress(redis, settings.redis_prefix("feed"))
        base = readers[-1] + 1
        starts = [range(base + n * size.posts, base + (n + 1) * size.posts) for n in range(size.rounds)]
        first = [await _round(producer, meter, ledger, authors, posts) for posts in starts]
        again = [await _round(producer, meter, ledger, authors, posts) for posts in starts]
    new, repeated = (replace(best(rates), unit=AT_LEAST.unit) for rates in (first, again))
    note = f"best of {size.rounds}"
    return [Row("posts of small authors", new, AT_LEAST, note), Row("… redelivered", repeated, new, note)]


async def _round(
    producer: EventProducer, meter: LagMeter, ledger: DeliveryProgress, authors: Sequence[int], ids: range
) -> float:
    """Events a second. They are encoded before."""
    posts = [(post_id, n % len(authors)) for n, post_id in enumerate(ids)]
    created = [PostCreated(post_id=post, author_id=authors[at], created_at=utc_now()) for post, at in posts]
    records = [producer.record(payload, payload.post_id, 1) for payload in created]

    async def caught_up() -> bool:
        return await meter.lag("fanout", ["posts"]) == 0

    started = time.perf_counter()
    sent = [await producer.enqueue(record) for record in records]
    await asyncio.gather(*map(producer.confirm, records, sent, ["bench"] * len(posts)))
    await eventually(caught_up, DEADLINE_S)
    seconds = time.perf_counter() - started
    for post_id, at in posts[:: max(1, len(posts) // SAMPLE)]:
        state = await ledger.of(post_id)
        if state is None or state.delivered != FOLLOWERS[at % len(FOLLOWERS)]:
            raise RuntimeError(f"post {post_id} has not reached its followers: {state}")
    return len(posts) / seconds
