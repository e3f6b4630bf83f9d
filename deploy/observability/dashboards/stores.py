"""Cassandra, PostgreSQL and Redis, as the deployables see them."""

from deploy.observability.dashboards.model import Dashboard, Limits, Panel, Row, Target, Variable
from deploy.observability.dashboards.panels import (
    QUERY,
    REQUESTS,
    breakers,
    cache_hits,
    checks,
    not_called,
    pools,
)
from deploy.observability.dashboards.queries import buckets, quantile, rate, series, share, total

STORE = Variable("store", "Store", f'label_values({QUERY}_count{{job=~"$job"}}, store)')
READS, IN_REDIS = "feedmill_cache_reads_total", 'cache=~"counts|feed_page"'
OF_STORE = 'store=~"$store"'

QUERIES = Row(
    "Queries",
    (
        Panel(
            title="Queries by store",
            text="Queries per second. They rise and fall with the requests; more for each request mean cold caches.",
            unit="ops",
            targets=[Target(rate(f"{QUERY}_count", OF_STORE, by="store"), "{{store}}")],
        ),
        Panel(
            title="99th percentile by store",
            text="99 % of the queries end within this time. Redis needs a few ms, the others some tens of ms.",
            unit="s",
            targets=[Target(quantile(0.99, QUERY, OF_STORE, by="store"), "{{store}}")],
        ),
        Panel(
            title="Duration of queries",
            text="How many queries took how long. A new band above the first is a slow statement or a busy store.",
            kind="heatmap",
            unit="s",
            targets=[Target(buckets(QUERY, OF_STORE), "{{le}}")],
        ),
        Panel(
            title="Slowest statements",
            text="The ten statements with the largest 99th percentile. Look here first when a store is slow.",
            kind="table",
            unit="s",
            targets=[
                Target(
                    f"topk(10, {quantile(0.99, QUERY, OF_STORE, by='job, store, statement')})",
                    "{{job}} {{store}} {{statement}}",
                )
            ],
            width=12,
            height=10,
        ),
        Panel(
            title="Statements that take the most time",
            text="Seconds of waiting per second: the ten statements that cost most altogether. Cache these first.",
            kind="table",
            unit="percentunit",
            targets=[
                Target(
                    f"topk(10, {rate(f'{QUERY}_sum', OF_STORE, by='job, store, statement')})",
                    "{{job}} {{store}} {{statement}}",
                )
            ],
            width=12,
            height=10,
        ),
    ),
)
AVAILABILITY = Row(
    "Availability",
    (
        breakers(),
        not_called(),
        Panel(
            title="Probes",
            text="Probes of a dependency whose breaker is open. An answered probe closes the breaker.",
            unit="ops",
            targets=[
                Target(rate("feedmill_breaker_probes_total", by="dependency, answered"), "{{dependency}} {{answered}}")
            ],
            event="five calls to a dependency fail in a row",
        ),
        Panel(
            title="Retries and hedged calls",
            text="Second tries per second. Some are normal; more than 10 % of the calls mean that a dependency is ill.",
            unit="ops",
            targets=[
                Target(rate("feedmill_dependency_second_tries_total", by="job, dependency"), "{{job}} → {{dependency}}")
            ],
        ),
        checks(),
    ),
)
POOLS = Row(
    "Pools and caches",
    (
        pools(),
        Panel(
            title="Callers that wait for a slot",
            alerts=["PoolFull"],
            text="Normal is 0. Callers that wait for long are refused; the pool is too small or the store too slow.",
            unit="short",
            targets=[Target(total(series("feedmill_pool_waiting"), by="job, pool"), "{{job}} {{pool}}")],
        ),
        cache_hits(),
        Panel(
            title="Hit ratio of caches in Redis",
            text="The share of counts and feed pages that Redis has. It should be above 95 %, and 80 % is too low.",
            unit="percentunit",
            targets=[Target(share(rate(READS, IN_REDIS, 'outcome="hit"'), rate(READS, IN_REDIS)), "hits")],
            limits=Limits(0.9, 0.8),
            alerts=["CacheMisses"],
            event=REQUESTS,
        ),
        Panel(
            title="Hot keys",
            text="Operations per second on Redis keys with more than 1,000, from a sample of 1 %. Normal is none.",
            kind="table",
            unit="ops",
            targets=[Target(total(series("feedmill_hot_key_operations"), by="key", of="max"), "{{key}}")],
            event="a Redis key gets more than 1,000 operations per second",
            alerts=["HotKey"],
        ),
    ),
)
STORES = Dashboard(
    name="stores",
    title="Feedmill: stores",
    text="How fast the stores answer, whether they are available, and how full pools and caches are.",
    tag="area",
    variables=(STORE,),
    rows=(QUERIES, AVAILABILITY, POOLS),
)
