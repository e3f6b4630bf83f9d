"""The fan-out worker: pushes new posts into the feed lists of followers."""

from libs.clients.user import UserClient
from libs.common.kafka.consumer import GatheringRunner
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
from workers.fanout.service.fanout import Fanout, FeedRemover, FeedWriter, Ledgers
from workers.fanout.settings import FanoutSettings


async def compose(runtime: Runtime[FanoutSettings]) -> None:
    """Start the consumers of posts and of both lanes, and the measuring of lag."""
    settings, redis = runtime.settings, runtime.redis
    meter = await runtime.stack.enter_async_context(LagMeter(settings))
    prefix, buckets = settings.redis_prefix("feed"), settings.feed_buckets
    fast, slow = FeedLists(redis, prefix, buckets), FeedLists(redis, prefix, buckets, calls_ahead=1)
    graph, unpushed = UserClient(runtime.client("user")), UnpushedRanges(redis, fast)
    ledgers = Ledgers(DeliveryProgress(redis, prefix), RemovalProgress(redis, prefix))
    board, stamps = PublishedBackpressure(redis, prefix), InvalidationStamps(redis, settings)
    lag = KafkaLag(meter, BY_NAME["fanout"].consumes)
    backpressure = Backpressure(lag, board, unpushed, stamps, settings.thresholds())
    rate = SharedRateLimit(redis, prefix, "slow-lane", settings.slow_lane_rate)
    fanout = Fanout(
        graph,
        {
            "push": FeedWriter(graph, fast, ledgers.posts, backpressure),
            "slow": FeedWriter(graph, slow, ledgers.posts, backpressure, rate),
        },
        {
            "push": FeedRemover(graph, fast, ledgers.removals),
            "slow": FeedRemover(graph, slow, ledgers.removals, rate),
        },
        KafkaChunkQueue(await runtime.producer()),
        ledgers,
        unpushed,
        backpressure,
        stamps,
        chunk_followers=settings.chunk_followers,
        slow_lane_from=settings.slow_lane_from,
    )
    consumers = FanoutConsumers(fanout, ledgers)
    runtime.ready_checks["redis"] = redis.ping
    await backpressure.try_update()  # before the first event, because the lag may be too large already
    await runtime.consume("fanout", consumers.on_posts, consumers.on_dead_letter, runner=GatheringRunner)
    await runtime.consume("fanout-chunks", consumers.on_chunks, consumers.on_dead_letter)
    await runtime.consume("fanout-slow-chunks", consumers.on_slow_chunks, consumers.on_dead_letter)
    runtime.start("backpressure", backpressure.run())


APPLICATION = Application(name="fanout", settings=FanoutSettings, compose=compose)

if __name__ == "__main__":
    APPLICATION.main()
