"""The fan-out worker: new posts into the feeds of followers."""

from fastapi import FastAPI

from libs.common.kafka.consumer import ConsumerRunner
from libs.common.kafka.producer import EventProducer
from libs.common.runtime.app import Runtime, create_app, run
from libs.common.stores.redis import open_redis
from libs.feedlists import FeedLists
from workers.fanout.clients import KafkaChunkQueue, UserServiceGraph
from workers.fanout.consumers import FanoutConsumers
from workers.fanout.service import Fanout
from workers.fanout.settings import FanoutSettings


def build(settings: FanoutSettings) -> FastAPI:
    """The worker's application: health and metrics over HTTP, the work behind it."""

    async def compose(_: FastAPI, runtime: Runtime) -> None:
        redis = await runtime.stack.enter_async_context(open_redis(settings))
        producer = await runtime.stack.enter_async_context(EventProducer(settings, "workers.fanout"))
        lists = FeedLists(redis, settings.redis_prefix("feed"), settings.feed_buckets)
        graph = UserServiceGraph(runtime.client("user"))
        fanout = Fanout(graph, lists, KafkaChunkQueue(producer), settings.chunk_followers)
        consumers = FanoutConsumers(fanout)
        posts = ConsumerRunner(settings, "fanout", ["posts"], consumers.on_posts, producer)
        chunks = ConsumerRunner(settings, "fanout-chunks", ["feed.fanout"], consumers.on_chunks, producer)
        runtime.ready_checks["redis"] = redis.ping
        runtime.ready_checks["posts"] = posts.assigned
        runtime.ready_checks["chunks"] = chunks.assigned
        runtime.start("posts", posts.run())
        runtime.start("chunks", chunks.run())

    return create_app("workers.fanout", settings, compose)


if __name__ == "__main__":
    run("workers.fanout", FanoutSettings, build)
