"""The counters worker: exact counts of likes, comments, saves and views."""

from fastapi import FastAPI

from libs.common.kafka.consumer import ConsumerRunner
from libs.common.kafka.producer import EventProducer
from libs.common.stores.cassandra import Cassandra
from libs.common.web.app import Runtime, create_app, run
from workers.counters.clients import KafkaCountsTopic
from workers.counters.consumers import CounterConsumers
from workers.counters.service import PostCounters
from workers.counters.settings import CountersSettings
from workers.counters.stores.cassandra import CassandraLedger
from workers.counters.stores.redis import RedisCountsCache


def build(settings: CountersSettings) -> FastAPI:
    """The worker's application: health and metrics over HTTP, the work behind it."""

    async def compose(_: FastAPI, runtime: Runtime) -> None:
        cassandra = await runtime.stack.enter_async_context(Cassandra(settings, settings.keyspace("interaction")))
        redis = runtime.redis
        producer = await runtime.stack.enter_async_context(EventProducer(settings, "workers.counters"))
        cache = RedisCountsCache(redis, settings.redis_prefix("interaction"))
        ledger = await CassandraLedger.open(cassandra)
        consumers = CounterConsumers(PostCounters(ledger, cache, KafkaCountsTopic(producer), settings.ledger_epoch))
        runner = ConsumerRunner(settings, "counters", ["interactions"], consumers.on_interactions, producer)
        runtime.ready_checks["cassandra"] = cassandra.ready
        runtime.ready_checks["interactions"] = runner.assigned
        runtime.start("interactions", runner.run())

    return create_app("workers.counters", settings, compose)


if __name__ == "__main__":
    run("workers.counters", CountersSettings, build)
