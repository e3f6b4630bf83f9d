"""The counters worker: exact counts of likes, comments, saves and views."""

from libs.common.web.keyspace import open_cassandra
from libs.common.web.runtime import Runtime
from libs.deployables.application import Application
from workers.counters.clients import KafkaCountsTopic
from workers.counters.consumers import CounterConsumers
from workers.counters.service.counting import PostCounters
from workers.counters.settings import CountersSettings
from workers.counters.stores.cassandra import CassandraMembershipLedger
from workers.counters.stores.redis import RedisCountsCache


async def compose(runtime: Runtime[CountersSettings]) -> None:
    """Start the consumer. The ledger is in the keyspace of the interaction service, which also migrates it."""
    settings = runtime.settings
    ledger = await CassandraMembershipLedger(await open_cassandra(runtime, "interaction")).prepare()
    cache = RedisCountsCache(runtime.redis, settings.redis_prefix("interaction"))
    counters = PostCounters(ledger, cache, KafkaCountsTopic(await runtime.producer()), settings.ledger_epoch)
    await runtime.consume("counters", CounterConsumers(counters).on_interactions)


APPLICATION = Application(name="counters", settings=CountersSettings, compose=compose)

if __name__ == "__main__":
    APPLICATION.main()
