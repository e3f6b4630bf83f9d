"""How fast the running workers fan posts out, over followers as they are."""

import asyncio
from collections.abc import Sequence

from redis.asyncio import Redis

from bench.small_posts import event_of
from libs.common.core.settings import Settings
from libs.common.kafka.lag import LagMeter
from libs.common.kafka.producer import EventProducer
from libs.common.testing.eventually import eventually
from libs.contracts.base import utc_now
from libs.feedlists import DeliveryProgress

GROUPS = {"fanout": "posts", "fanout-chunks": "feed.fanout", "fanout-slow-chunks": "feed.fanout.slow"}
DEADLINE_S = 900.0


async def entries_a_second(settings: Settings, redis: "Redis", authors: Sequence[int]) -> float:
    """Feed entries written for one post of each author, from the first event to the last entry.

    The posts are events alone: the post service would be measured instead.
    """
    ledger = DeliveryProgress(redis, settings.redis_prefix("feed"))
    async with EventProducer(settings, "bench") as producer, LagMeter(settings) as meter:

        async def caught_up() -> bool:
            return not any([await meter.lag(group, [topic]) for group, topic in GROUPS.items()])

        started, events = utc_now(), [event_of(author_id) for author_id in authors]
        await asyncio.gather(*map(producer.publish, events))
        await eventually(caught_up, DEADLINE_S)
    states = [state for event in events if (state := await ledger.of(int(event.entity)))]
    finished = max(state.finished_at or started for state in states)
    return sum(state.delivered for state in states) / (finished - started).total_seconds()
