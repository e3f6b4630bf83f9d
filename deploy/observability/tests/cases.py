"""For every row of the table: series that fire it, and series that are just not bad enough."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.telemetry.catalog import BY_NAME

Series = Mapping[str, str]
"""Series → its values, as promtool writes them: one value each 15 s, or each second for anomalies."""
LONG = 170  # values: 15 s apart for a bit more than 40 minutes, the longest case


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the rules.

    Args:
        labels: what distinguishes it from the other rows of its name, besides the severity.
        firing: each of these fires it.
        quiet: none of these does.
        minutes: after this time they are evaluated.
        count: how many alerts fire.
    """

    name: str
    severity: str
    firing: tuple[Series, ...]
    quiet: tuple[Series, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    minutes: int = 20
    count: int = 1


def always(value: float) -> str:
    return f"{value}x{LONG}"


def growing(by: float) -> str:
    return f"0+{by}x{LONG}"


def histogram(name: str, labels: str, samples: Mapping[float, float]) -> Series:
    """Series of a histogram of the catalog. `samples` is upper bound of a bucket → how many at each scrape."""
    buckets = BY_NAME[name].buckets
    assert set(samples) <= set(buckets), samples
    series = {
        f'{name}_bucket{{{labels},le="{float(b)}"}}': sum(n for s, n in samples.items() if s <= b) for b in buckets
    }
    total = sum(samples.values())
    all_of_them = {f'{name}_bucket{{{labels},le="+Inf"}}': total, f"{name}_count{{{labels}}}": total}
    return {key: growing(by) for key, by in (series | all_of_them).items()}


FEED = 'job="gateway-metrics",method="GET",route="/v1/feed",status="200"'


def feed(samples: Mapping[float, float]) -> Series:
    return histogram("feedmill_gateway_request_seconds", FEED, samples)


def waited(method: str, route: str, samples: Mapping[float, float]) -> Series:
    labels = f'job="gateway-metrics",method="{method}",route="{route}"'
    return histogram("feedmill_gateway_upstream_seconds", labels, samples)


def gateway(status: str, samples: Mapping[float, float]) -> Series:
    labels = f'job="gateway-metrics",method="GET",route="/v1/users",status="{status}"'
    return histogram("feedmill_gateway_request_seconds", labels, samples)


def share(failed: float, requests: float = 1_000) -> Series:
    """Requests at each scrape, of which a share fails."""
    return {**gateway("200", {0.1: requests * (1 - failed)}), **gateway("503", {0.1: requests * failed})}


def fanout(samples: Mapping[float, float]) -> Series:
    return histogram("feedmill_fanout_seconds", 'job="fanout",lane="push"', samples)


def cache(hits: float, misses: float) -> Series:
    name = "feedmill_cache_reads_total"
    return {
        f'{name}{{job="feed",cache="feed_page",outcome="hit"}}': growing(hits),
        f'{name}{{job="feed",cache="feed_page",outcome="miss"}}': growing(misses),
    }


def edge(hits: float, stale: float, misses: float) -> Series:
    name = 'feedmill_gateway_cache_total{job="gateway-metrics",kind="small",outcome='
    return {f'{name}"hit"}}': growing(hits), f'{name}"stale"}}': growing(stale), f'{name}"miss"}}': growing(misses)}


def lag(messages: float, group: str = "counters") -> Series:
    return {f'feedmill_consumer_lag_messages{{job="canary",group="{group}"}}': always(messages)}


def stuck(messages: float, committed: str, kafka_up: float) -> Series:
    return {
        **lag(messages),
        'feedmill_consumer_committed_total{job="canary",group="counters"}': committed,
        'feedmill_kafka_up{job="canary"}': always(kafka_up),
    }


def storage(used: float) -> Series:
    return {
        'feedmill_storage_used_bytes{job="media"}': always(used),
        'feedmill_storage_capacity_bytes{job="media"}': always(100),
    }


def heartbeat(values: str) -> Series:
    return {'feedmill_worker_heartbeat_time_seconds{job="counters",group="counters"}': values}


def breaker(dependency: str, is_open: float) -> Series:
    return {f'feedmill_breaker_open{{job="post",dependency="{dependency}"}}': always(is_open)}


def check(name: str, passed: float) -> Series:
    return {f'feedmill_check_passed{{job="post",check="{name}"}}': always(passed)}


def up(job: str, *values: float) -> Series:
    return {f'up{{job="{job}",instance="{n}"}}': always(value) for n, value in enumerate(values)}


def outbox(seconds: float) -> Series:
    return {'feedmill_outbox_oldest_seconds{job="post"}': always(seconds)}


def last_minute(series: str) -> tuple[Series, Series]:
    """A counter that grew by 1 in the last minute of 20, and one that grew before that time only."""
    return {series: "0x76 1x100"}, {series: always(3)}


def verdicts(last_clean_s: str, readers: float) -> Series:
    return {
        'feedmill_oracle_last_clean_time_seconds{job="canary"}': last_clean_s,
        'feedmill_feed_active_readers{job="feed",window="24h"}': always(readers),
    }


def burst(failed: float) -> Series:
    """All of these requests failed, in the last two minutes of 20."""
    series = 'feedmill_gateway_request_seconds_count{job="gateway-metrics",method="GET",route="/v1/feed",status="503"}'
    return {series: f"0x72 {failed}x{LONG}"}


def burn(severity: str, window: str, bad: float, good: float, minutes: int) -> Case:
    return Case(
        name="ErrorBudgetBurn",
        severity=severity,
        labels={"window": window},
        firing=(share(bad),),
        quiet=(share(good), burst(9), {**gateway("200", {0.1: 0})}, {}),
        minutes=minutes,
    )


def slow_burn(severity: str, window: str, bad: float, good: float, minutes: int) -> Case:
    return Case(
        name="FeedLatencyBudgetBurn",
        severity=severity,
        labels={"window": window},
        firing=(feed({0.1: 100 * (1 - bad), 0.3: 100 * bad}),),
        quiet=(feed({0.2: 100 * (1 - good), 0.3: 100 * good}), {}),
        minutes=minutes,
    )


FAULT, OLD_FAULT = last_minute('feedmill_oracle_faults_total{job="canary",fault="missing"}')
DRIFT, OLD_DRIFT = last_minute('feedmill_reconcile_drift_total{job="canary",place="cache"}')
FAILED, OLD_FAILED = last_minute('feedmill_media_processed_total{job="media-worker",outcome="processing_failed"}')
UNREAD, OLD_UNREAD = last_minute('feedmill_gateway_lines_unread_total{job="gateway-metrics",why="dropped"}')
UNCOUNTED = 'feedmill_rate_uncounted_total{job="feed",redis="away"}'
WAITING = 'feedmill_pool_waiting{job="post",pool="cassandra"}'
HOT = 'feedmill_hot_key_operations{job="canary",key="k"}'
LETTERS = 'feedmill_dead_letters_waiting{job="canary",topic="posts"}'
LEVEL = 'feedmill_fanout_backpressure_level{job="fanout"}'

CASES = (
    Case(name="FeedP50Slow", severity="ticket", firing=(feed({0.2: 10}),), quiet=(feed({0.15: 10}), feed({0.2: 0.5}))),
    Case(name="FeedP50Slow", severity="page", firing=(feed({0.5: 10}),), quiet=(feed({0.3: 10}), feed({10: 0.5}))),
    Case(
        name="FeedP99Slow",
        severity="ticket",
        firing=(feed({0.1: 98, 0.5: 2}),),
        quiet=(feed({0.1: 98, 0.3: 2}), feed({0.1: 4, 0.5: 0.5})),
    ),
    Case(
        name="FeedP99Slow",
        severity="page",
        firing=(feed({0.1: 98, 1: 2}),),
        quiet=(feed({0.1: 98, 0.5: 2}), feed({0.1: 4, 1: 0.5})),
    ),
    Case(
        name="PostingSlow",
        severity="ticket",
        firing=(waited("POST", "/v1/posts", {3: 2}),),
        quiet=(waited("POST", "/v1/posts", {1: 2}), waited("POST", "/v1/posts", {3: 0.5})),
    ),
    Case(
        name="PostingSlow",
        severity="page",
        firing=(waited("POST", "/v1/posts", {10: 2}),),
        quiet=(waited("POST", "/v1/posts", {3: 2}),),
    ),
    Case(name="FanoutLate", severity="ticket", firing=(fanout({300: 2}),), quiet=(fanout({60: 2}), fanout({300: 0.5}))),
    Case(name="FanoutLate", severity="page", firing=(fanout({600: 2}),), quiet=(fanout({300: 2}),)),
    Case(name="CacheMisses", severity="info", firing=(cache(85, 15),), quiet=(cache(91, 9), cache(0, 5)), minutes=40),
    Case(name="CacheMisses", severity="ticket", firing=(cache(75, 25),), quiet=(cache(85, 15),), minutes=40),
    Case(
        name="EdgeCacheMisses",
        severity="info",
        firing=(edge(80, 8, 12),),
        quiet=(edge(85, 6, 9), edge(0, 0, 5)),
        minutes=40,
    ),
    Case(name="EdgeCacheMisses", severity="ticket", firing=(edge(80, 0, 20),), quiet=(edge(80, 6, 14),), minutes=40),
    Case(
        name="ErrorRate",
        severity="ticket",
        firing=(share(0.005),),
        quiet=(share(0.0005), share(0.5, requests=0.8), {**gateway("200", {0.1: 0})}, {}),
    ),
    Case(
        name="ErrorRate",
        severity="page",
        firing=(share(0.02), {**gateway("200", {0.1: 100}), **gateway("499", {10: 2})}),
        quiet=(share(0.005), share(0.5, requests=0.8), {**gateway("200", {0.1: 100}), **gateway("499", {1: 2})}),
    ),
    Case(name="ConsumerLag", severity="ticket", firing=(lag(100_001),), quiet=(lag(100_000),)),
    Case(name="ConsumerLag", severity="page", firing=(lag(1_000_001),), quiet=(lag(1_000_000),)),
    *(
        Case(
            name="FanoutLag",
            severity=severity,
            labels={"level": level},
            firing=({**lag(messages, "fanout"), **lag(1, "fanout-chunks")},),
            quiet=(lag(messages, "fanout"), lag(2 * messages)),
        )
        for severity, level, messages in (
            ("ticket", "1", 100_000),
            ("ticket", "2", 500_000),
            ("page", "3", 1_000_000),
        )
    ),
    Case(
        name="SlowResponses",
        severity="ticket",
        firing=(waited("GET", "/v1/users", {1: 5}),),
        quiet=(
            waited("GET", "/v1/users", {0.5: 5}),
            waited("GET", "/v1/users", {1: 2}),
            waited("POST", "/v1/media/uploads", {1: 5}),
        ),
    ),
    Case(
        name="QueueBuildup",
        severity="ticket",
        firing=(lag(101, "media-worker"),),
        quiet=(lag(100, "media-worker"), lag(101)),
    ),
    Case(name="StorageFull", severity="page", firing=(storage(91),), quiet=(storage(90), {})),
    Case(
        name="WorkerDown",
        severity="page",
        # The second one is frozen, so its scrapes fail and its series ends.
        firing=(heartbeat(always(0)), heartbeat("0+15x30 stale")),
        quiet=(heartbeat(growing(15)), {}),
        minutes=12,
    ),
    Case(
        name="GatewayDown",
        severity="page",
        firing=({'feedmill_gateway_up{job="gateway-metrics"}': always(0)},),
        quiet=({'feedmill_gateway_up{job="gateway-metrics"}': always(1)}, {}),
    ),
    *(
        Case(
            name="StoreAway",
            severity="page",
            labels={"store": store},
            firing=(breaker(store, 1), check(store, 0)),
            quiet=({**breaker(store, 0), **check(store, 1)}, breaker("user", 1), {}),
        )
        for store in ("cassandra", "postgres", "redis")
    ),
    Case(
        name="StoreAway",
        severity="page",
        labels={"store": "kafka"},
        firing=({'feedmill_kafka_up{job="canary"}': always(0)},),
        quiet=({'feedmill_kafka_up{job="canary"}': always(1)}, {}),
    ),
    Case(
        name="ProcessDown",
        severity="page",
        firing=(up("feed", 0), up("feed", 0, 0)),
        quiet=(up("feed", 0, 1), up("canary", 1)),
    ),
    Case(name="ProcessDown", severity="ticket", firing=(up("feed", 0, 1), up("canary", 0)), quiet=(up("feed", 1, 1),)),
    Case(
        name="ConsumerStuck",
        severity="page",
        firing=(stuck(5, always(7), 1),),
        quiet=(stuck(5, growing(1), 1), stuck(0, always(7), 1), stuck(5, always(7), 0)),
    ),
    Case(name="OutboxWaiting", severity="ticket", firing=(outbox(61),), quiet=(outbox(60),)),
    Case(name="OutboxWaiting", severity="page", firing=(outbox(301),), quiet=(outbox(300),)),
    Case(name="DeadLetterWaits", severity="ticket", firing=({LETTERS: always(1)},), quiet=({LETTERS: always(0)},)),
    Case(
        name="CanaryBlind",
        severity="ticket",
        firing=({}, {LETTERS: always(0)}),
        quiet=({LETTERS: always(0), **lag(0)},),
    ),
    Case(name="FeedWrong", severity="page", firing=(FAULT,), quiet=(OLD_FAULT, {})),
    Case(name="CountsDrift", severity="ticket", firing=(DRIFT,), quiet=(OLD_DRIFT, {})),
    Case(
        name="CanaryStale",
        severity="ticket",
        firing=(verdicts(always(0), 5),),
        quiet=(verdicts(always(0), 0), verdicts(growing(15), 5)),
        minutes=30,
    ),
    Case(
        name="RateLimitsBlind", severity="ticket", firing=({UNCOUNTED: growing(1)},), quiet=({UNCOUNTED: growing(0.2)},)
    ),
    Case(name="MediaFailing", severity="ticket", firing=(FAILED,), quiet=(OLD_FAILED, {})),
    Case(name="CheckFailing", severity="ticket", firing=(check("feed", 0),), quiet=(check("feed", 1), {})),
    Case(name="GatewayLinesUnread", severity="ticket", firing=(UNREAD,), quiet=(OLD_UNREAD, {})),
    Case(name="FanoutBackpressure", severity="info", firing=({LEVEL: always(1)},), quiet=({LEVEL: always(0)},)),
    Case(name="BreakerOpen", severity="info", firing=(breaker("user", 1),), quiet=(breaker("user", 0),)),
    Case(name="PoolFull", severity="info", firing=({WAITING: always(1)},), quiet=({WAITING: "1 0 " * 100},)),
    Case(name="HotKey", severity="info", firing=({HOT: always(1_001)},), quiet=({HOT: always(1_000)}, {})),
    burn("page", "1h", bad=0.02, good=0.01, minutes=20),
    burn("page", "6h", bad=0.007, good=0.005, minutes=20),
    burn("ticket", "1d", bad=0.004, good=0.002, minutes=40),
    burn("ticket", "3d", bad=0.0015, good=0.0008, minutes=40),
    slow_burn("page", "1h", bad=0.15, good=0.14, minutes=20),
    slow_burn("page", "6h", bad=0.07, good=0.05, minutes=20),
    slow_burn("ticket", "1d", bad=0.04, good=0.02, minutes=40),
    slow_burn("ticket", "3d", bad=0.02, good=0.005, minutes=40),
    Case(
        name="PageNotAcknowledged", severity="escalation", firing=(up("feed", 0),), quiet=(up("feed", 1),), minutes=20
    ),
)

# A week is an hour here. At each second: n requests for the first hour, and then m.
REQUESTS = 'feedmill_gateway_request_seconds_count{job="gateway-metrics",method="GET",route="/v1/feed",status="200"}'
SIGN_UPS = (
    'feedmill_http_request_seconds_count{job="user",method="POST",route="/v1/auth/register",status="201",instance="a"}'
)
WEEK_FACTOR, WEEK_S, LOOK_S = 168, 3_600, 3_690


def changed(series: str, before: float, after: float) -> Series:
    return {series: f"0+{before}x{WEEK_S} {before * WEEK_S}+{after}x100"}


def failing(before: float, after: float) -> Series:
    return {**changed(REQUESTS, 100, 100), **changed(REQUESTS.replace('"200"', '"503"'), before, after)}


ANOMALIES = (
    Case(
        name="TrafficDropped",
        severity="ticket",
        firing=(changed(REQUESTS, 10, 4),),
        quiet=(changed(REQUESTS, 10, 6), changed(REQUESTS, 0.1, 0), {REQUESTS: f"_x{WEEK_S} 0+4x100"}),
    ),
    Case(
        name="TrafficJumped",
        severity="info",
        firing=(changed(REQUESTS, 10, 31),),
        quiet=(changed(REQUESTS, 10, 29), changed(REQUESTS, 0.1, 5), {REQUESTS: f"_x{WEEK_S} 0+400x100"}),
    ),
    Case(
        name="SignUpsDropped",
        severity="ticket",
        firing=(changed(SIGN_UPS, 10, 2),),
        quiet=(changed(SIGN_UPS, 10, 4), changed(SIGN_UPS, 0.4, 0)),
    ),
    Case(
        name="ErrorsUnusual",
        severity="ticket",
        firing=(failing(1, 4),),
        quiet=(failing(1, 2), failing(0.1, 0.5)),
    ),
)
