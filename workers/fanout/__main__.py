"""The fan-out worker: new posts into the feeds of followers."""

from fastapi import FastAPI

from libs.common.kafka.consumer import ConsumerRunner
from libs.common.kafka.lag import LagMeter
from libs.common.kafka.producer import EventProducer
from libs.common.stores.rate import SharedRate
from libs.common.web.app import Runtime, create_app, run
from libs.feedlists import FeedLists, Gaps, Ledger, PublishedLevel, RemovalLedger
from libs.invalidation import Acts
from workers.fanout.backpressure import Backpressure
from workers.fanout.clients import KafkaChunkQueue, KafkaLag, UserServiceGraph
from workers.fanout.consumers import FanoutConsumers
from workers.fanout.service import Delivery, Fanout, Ledgers, Removal
from workers.fanout.settings import FanoutSettings

GROUPS = {"fanout": "posts", "fanout-chunks": "feed.fanout", "fanout-slow-chunks": "feed.fanout.slow"}


def build(settings: FanoutSettings) -> FastAPI:
    """The worker's application: health and metrics over HTTP, the work behind it."""

    async def compose(_: FastAPI, runtime: Runtime) -> None:
        redis = runtime.redis
        producer = await runtime.stack.enter_async_context(EventProducer(settings, "workers.fanout"))
        meter = await runtime.stack.enter_async_context(LagMeter(settings))
        prefix, buckets = settings.redis_prefix("feed"), settings.feed_buckets
        fast, slow = FeedLists(redis, prefix, buckets), FeedLists(redis, prefix, buckets, calls_ahead=1)
        graph, gaps = UserServiceGraph(runtime.client("user")), Gaps(redis, fast)
        ledgers = Ledgers(Ledger(redis, prefix), RemovalLedger(redis, prefix))
        level, acts = PublishedLevel(redis, prefix), Acts(redis, settings)
        load = Backpressure(KafkaLag(meter, GROUPS), level, gaps, acts, settings.thresholds())
        rate = SharedRate(redis, prefix, "slow-lane", settings.slow_lane_rate)
        fanout = Fanout(
            graph,
            {
                "push": Delivery(graph, fast, ledgers.posts, load),
                "slow": Delivery(graph, slow, ledgers.posts, load, rate),
            },
            {
                "push": Removal(graph, fast, ledgers.removals, load),
                "slow": Removal(graph, slow, ledgers.removals, load, rate),
            },
            KafkaChunkQueue(producer),
            ledgers,
            gaps,
            load,
            acts,
            chunk_followers=settings.chunk_followers,
            slow_lane_from=settings.slow_lane_from,
        )
        consumers = FanoutConsumers(fanout, ledgers)
        handlers = (consumers.on_posts, consumers.on_chunks, consumers.on_slow_chunks)
        runtime.ready_checks["redis"] = redis.ping
        await load.look()  # what waits may be too much to begin with
        for (group, topic), handler in zip(GROUPS.items(), handlers, strict=True):
            runner = ConsumerRunner(settings, group, [topic], handler, producer, consumers.on_dead_letter)
            runtime.ready_checks[topic] = runner.assigned
            runtime.start(topic, runner.run())
        runtime.start("backpressure", load.run())

    return create_app("workers.fanout", settings, compose)


if __name__ == "__main__":
    run("workers.fanout", FanoutSettings, build)
