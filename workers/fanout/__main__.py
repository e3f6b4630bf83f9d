"""The fan-out worker: it pushes new posts into the feed lists of followers."""

from libs.clients.user import UserClient
from libs.common.kafka.lag import LagMeter
from libs.common.stores.rate import SharedRateLimit
from libs.common.web.runtime import Runtime
from libs.deployables import BY_NAME
from libs.deployables.application import Application
from libs.feedlists import DeliveryProgress, FeedLists, PublishedBackpressure, RemovalProgress, UnpushedRanges
from libs.invalidation import InvalidationStamps
from workers.fanout.clients import KafkaChunkQueue, KafkaLag
from workers.fanout.consumers import FanoutConsumers
from workers.fanout.service.backpressure import Backpressure
from workers.fanout.service.fanout import Delivery, Fanout, Ledgers, Removal
from workers.fanout.settings import FanoutSettings

GROUPS = {group: topics[0] for group, topics in BY_NAME["fanout"].consumes.items()}


async def compose(runtime: Runtime[FanoutSettings]) -> None:
    """Start the consumers of posts and of both lanes, and the measuring of back pressure."""
    settings, redis = runtime.settings, runtime.redis
    meter = await runtime.stack.enter_async_context(LagMeter(settings))
    prefix, buckets = settings.redis_prefix("feed"), settings.feed_buckets
    fast, slow = FeedLists(redis, prefix, buckets), FeedLists(redis, prefix, buckets, calls_ahead=1)
    graph, gaps = UserClient(runtime.client("user")), UnpushedRanges(redis, fast)
    ledgers = Ledgers(DeliveryProgress(redis, prefix), RemovalProgress(redis, prefix))
    level, stamps = PublishedBackpressure(redis, prefix), InvalidationStamps(redis, settings)
    load = Backpressure(KafkaLag(meter, GROUPS), level, gaps, stamps, settings.thresholds())
    rate = SharedRateLimit(redis, prefix, "slow-lane", settings.slow_lane_rate)
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
        KafkaChunkQueue(await runtime.producer()),
        ledgers,
        gaps,
        load,
        stamps,
        chunk_followers=settings.chunk_followers,
        slow_lane_from=settings.slow_lane_from,
    )
    consumers = FanoutConsumers(fanout, ledgers)
    runtime.ready_checks["redis"] = redis.ping
    await load.look()  # before the first event: there may be too much lag already
    await runtime.consume("fanout", consumers.on_posts, consumers.on_dead_letter)
    await runtime.consume("fanout-chunks", consumers.on_chunks, consumers.on_dead_letter)
    await runtime.consume("fanout-slow-chunks", consumers.on_slow_chunks, consumers.on_dead_letter)
    runtime.start("backpressure", load.run())


APPLICATION = Application(name="fanout", settings=FanoutSettings, compose=compose)

if __name__ == "__main__":
    APPLICATION.main()
