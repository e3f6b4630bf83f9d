"""Every alert as a row of a table, with the source of the row. docs/alerts.md is generated from it.

Symptoms page: what users notice, or lose soon. Causes are tickets, or are only shown. Expressions are PromQL. All times
in them are shortened by `Timing.expression`. `feedmill_gateway_…` is what clients see, so symptoms are measured there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from deploy.observability.prometheus import JOBS, written
from deploy.observability.recorded import FAILED_MINIMUM, FEED_READS, OBJECTIVES, RECORDS
from deploy.observability.timing import Timing

Severity = Literal["page", "ticket", "info", "escalation", "watchdog"]
Store = Literal["cassandra", "postgres", "redis", "kafka"]
EVERY_STORE: tuple[Store, ...] = ("cassandra", "kafka", "postgres", "redis")
RUNBOOKS = "docs/runbooks"  # in the repository
HOLD_S = 300  # after a repair: as long as the windows of the symptoms still hold the fault, their cause inhibits them
MINUTE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Declares one alert, or one level of it: several rows may share a name and have different severities.

    Args:
        name: in CamelCase. The runbook has the same name in kebab case.
        severity: `page` wakes somebody, `ticket` waits for a working day, `info` is only shown.
        source: where the row comes from, such as `scale §13.1 Feed P99 latency`.
        expression: PromQL with real times.
        hold_s: for how long the expression is true before the alert fires, in seconds.
        floor_s: `hold_s` is never shortened below it, because a metric is renewed less often than it is scraped.
        keep_s: for how long the alert goes on firing after the expression has become false, in seconds.
        summary: one sentence; it may use `{{ $labels.job }}`.
        text: what it means for users.
        dashboard: the name of the one to open first.
        stores: if one of these is unavailable, that explains the alert, and `StoreAway` inhibits it.
        labels: added to those of the expression.
    """

    name: str
    severity: Severity
    source: str
    expression: str
    hold_s: int
    summary: str
    text: str
    dashboard: str
    floor_s: int = 0
    keep_s: int = 0
    stores: tuple[Store, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_labels(self) -> dict[str, str]:
        """The labels that the rule sets."""
        page = {"page": self.name} if self.severity == "page" else {}
        stores = {"stores": " ".join(self.stores)} if self.stores else {}
        return {"severity": self.severity, **page, **stores, **self.labels}


def runbook(name: str) -> str:
    """The file of an alert below docs/runbooks: `FeedP99Slow` has `feed-p99-slow.md`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower() + ".md"


def runbook_url(name: str, environ: Mapping[str, str]) -> str:
    """Return where people read the runbook of an alert. `FEEDMILL_RUNBOOKS_URL` is the base of all."""
    return f"{environ.get('FEEDMILL_RUNBOOKS_URL', RUNBOOKS).rstrip('/')}/{runbook(name)}"


def _quantile(share: float, metric: str, labels: str, window: str = "5m", by: str = "le", minimum: int = 20) -> str:
    """The quantile of a histogram, or nothing if it has fewer than `minimum` samples in the window."""
    group = by.removeprefix("le").removeprefix(", ")
    return (
        f"(histogram_quantile({share}, sum by ({by}) (rate({metric}_bucket{{{labels}}}[{window}]))) "
        f"and on ({group}) sum by ({group}) (increase({metric}_count{{{labels}}}[{window}])) >= {minimum})"
    )


_FEED_P50 = _quantile(0.5, "feedmill_gateway_request_seconds", FEED_READS)
_FEED_P99 = _quantile(0.99, "feedmill_gateway_request_seconds", FEED_READS, minimum=100)
_POSTING = _quantile(0.95, "feedmill_gateway_upstream_seconds", 'method="POST",route="/v1/posts"')
_FANOUT = _quantile(0.99, "feedmill_fanout_seconds", 'lane="push"')
_SLOW = _quantile(0.95, "feedmill_gateway_upstream_seconds", 'route!="/v1/media/uploads"', by="le, route", minimum=50)
_ERRORS = 'slo:failed_ratio:rate5m{slo="availability"}'
_ENOUGH_ERRORS = f'and on (slo) slo:failed:rate5m{{slo="availability"}} * seconds(5m) >= {FAILED_MINIMUM}'
_FANOUT_LAG = 'sum(consumer:lag_messages{job="fanout"})'


def _hit_ratio(metric: str, labels: str, hits: str, by: str, minimum: int) -> str:
    return (
        f'sum by ({by}) (increase({metric}{{{labels}outcome=~"{hits}"}}[30m])) '
        f"/ (sum by ({by}) (increase({metric}{{{labels.rstrip(',')}}}[30m])) >= {minimum})"
    )


_CACHE_HITS = _hit_ratio("feedmill_cache_reads_total", 'cache=~"counts|feed_page",', "hit", "", 1_000)  # in Redis
_EDGE_HITS = _hit_ratio("feedmill_gateway_cache_total", "", "hit|stale", "", 1_000)

SCALE = (
    Rule(
        name="FeedP50Slow",
        severity="ticket",
        source="scale §13.1 Feed P50 latency",
        expression=f"{_FEED_P50} > 0.15",
        hold_s=5 * MINUTE,
        summary="Half of all feed pages take {{ $value | humanizeDuration }} or more, above 150 ms.",
        text="Readers wait. The aim is 100 ms.",
        dashboard="feed",
        stores=EVERY_STORE,
    ),
    Rule(
        name="FeedP50Slow",
        severity="page",
        source="scale §13.1 Feed P50 latency",
        expression=f"{_FEED_P50} > 0.3",
        hold_s=5 * MINUTE,
        summary="Half of all feed pages take {{ $value | humanizeDuration }} or more, above 300 ms.",
        text="All readers wait. The aim is 100 ms.",
        dashboard="feed",
        stores=EVERY_STORE,
    ),
    Rule(
        name="FeedP99Slow",
        severity="ticket",
        source="scale §13.1 Feed P99 latency",
        expression=f"{_FEED_P99} > 0.3",
        hold_s=5 * MINUTE,
        summary="1 % of feed pages take {{ $value | humanizeDuration }} or more, above 300 ms.",
        text="Some readers wait. The aim is 200 ms.",
        dashboard="feed",
        stores=EVERY_STORE,
    ),
    Rule(
        name="FeedP99Slow",
        severity="page",
        source="scale §13.1 Feed P99 latency",
        expression=f"{_FEED_P99} > 0.5",
        hold_s=5 * MINUTE,
        summary="1 % of feed pages take {{ $value | humanizeDuration }} or more, above 500 ms.",
        text="Some readers wait. The aim is 200 ms.",
        dashboard="feed",
        stores=EVERY_STORE,
    ),
    Rule(
        name="PostingSlow",
        severity="ticket",
        source="scale §13.1 Post creation latency",
        expression=f"{_POSTING} > 1",
        hold_s=5 * MINUTE,
        summary="5 % of new posts take {{ $value | humanizeDuration }} or more, above 1 s.",
        text="Authors wait for the answer to a new post. The aim is 500 ms.",
        dashboard="deployable-post",
        stores=("cassandra", "redis"),
        labels={"job": "post"},
    ),
    Rule(
        name="PostingSlow",
        severity="page",
        source="scale §13.1 Post creation latency",
        expression=f"{_POSTING} > 3",
        hold_s=5 * MINUTE,
        summary="5 % of new posts take {{ $value | humanizeDuration }} or more, above 3 s.",
        text="Authors wait for the answer to a new post. The aim is 500 ms.",
        dashboard="deployable-post",
        stores=("cassandra", "redis"),
        labels={"job": "post"},
    ),
    Rule(
        name="FanoutLate",
        severity="ticket",
        source="scale §13.1 Fan-out lag",
        expression=f"{_FANOUT} > seconds(1m)",
        hold_s=MINUTE,
        summary="Posts reach all followers after {{ $value | humanizeDuration }}.",
        text="Followers see posts late. The aim is 30 s.",
        dashboard="fanout",
        stores=EVERY_STORE,
        labels={"job": "fanout"},
    ),
    Rule(
        name="FanoutLate",
        severity="page",
        source="scale §13.1 Fan-out lag",
        expression=f"{_FANOUT} > seconds(5m)",
        hold_s=MINUTE,
        summary="Posts reach all followers after {{ $value | humanizeDuration }}.",
        text="Followers see posts more than 5 minutes late. The aim is 30 s.",
        dashboard="fanout",
        stores=EVERY_STORE,
        labels={"job": "fanout"},
    ),
    Rule(
        name="CacheMisses",
        severity="info",
        source="scale §13.1 Redis cache hit rate",
        expression=f"{_CACHE_HITS} < 0.9",
        hold_s=15 * MINUTE,
        summary="Only {{ $value | humanizePercentage }} of the pages and counts that were looked up were in Redis.",
        text="A cause, so it pages nobody: what is missing is made from the records, which is slower.",
        dashboard="feed",
        stores=("redis",),
    ),
    Rule(
        name="CacheMisses",
        severity="ticket",
        source="scale §13.1 Redis cache hit rate",
        expression=f"{_CACHE_HITS} < 0.8",
        hold_s=15 * MINUTE,
        summary="Only {{ $value | humanizePercentage }} of the pages and counts that were looked up were in Redis.",
        text="A cause, so it pages nobody: what is missing is made from the records, which is slower.",
        dashboard="feed",
        stores=("redis",),
    ),
    Rule(
        name="EdgeCacheMisses",
        severity="info",
        source="scale §13.1 CDN cache hit rate",
        expression=f"{_EDGE_HITS} < 0.9",
        hold_s=15 * MINUTE,
        summary="The gateway's media cache answered only {{ $value | humanizePercentage }} of requests.",
        text="A cause, so it pages nobody: other requests for images reach the media service.",
        dashboard="gateway",
    ),
    Rule(
        name="EdgeCacheMisses",
        severity="ticket",
        source="scale §13.1 CDN cache hit rate",
        expression=f"{_EDGE_HITS} < 0.85",
        hold_s=15 * MINUTE,
        summary="The gateway's media cache answered only {{ $value | humanizePercentage }} of requests.",
        text="A cause, so it pages nobody: other requests for images reach the media service.",
        dashboard="gateway",
    ),
    Rule(
        name="ErrorRate",
        severity="ticket",
        source="scale §13.1 Error rate (5xx)",
        expression=f"({_ERRORS} > 0.001) {_ENOUGH_ERRORS}",
        hold_s=5 * MINUTE,
        summary="{{ $value | humanizePercentage }} of requests fail, above 0.1 %.",
        text="Clients get 5xx, or wait until they give up.",
        dashboard="overview",
        stores=EVERY_STORE,
    ),
    Rule(
        name="ErrorRate",
        severity="page",
        source="scale §13.1 Error rate (5xx)",
        expression=f"({_ERRORS} > 0.01) {_ENOUGH_ERRORS}",
        hold_s=5 * MINUTE,
        summary="{{ $value | humanizePercentage }} of requests fail, above 1 %.",
        text="Clients get 5xx, or wait until they give up. The rule is also photo's row High error rate.",
        dashboard="overview",
        stores=EVERY_STORE,
    ),
    Rule(
        name="ConsumerLag",
        severity="ticket",
        source="scale §13.1 Kafka consumer lag",
        expression="consumer:lag_messages > 100000",
        hold_s=2 * MINUTE,
        summary="The group {{ $labels.group }} is {{ $value | humanize }} messages behind.",
        text="What its events change is late. The aim is fewer than 10,000.",
        dashboard="kafka",
        stores=EVERY_STORE,
    ),
    Rule(
        name="ConsumerLag",
        severity="page",
        source="scale §13.1 Kafka consumer lag",
        expression="consumer:lag_messages > 1000000",
        hold_s=2 * MINUTE,
        summary="The group {{ $labels.group }} is {{ $value | humanize }} messages behind.",
        text="What its events change is very late. The aim is fewer than 10,000.",
        dashboard="kafka",
        stores=EVERY_STORE,
    ),
    Rule(
        name="FanoutLag",
        severity="ticket",
        source="scale §10.1 Level 1",
        expression=f"{_FANOUT_LAG} > 100000",
        hold_s=MINUTE,
        summary="Fan-out is {{ $value | humanize }} messages behind: level 1.",
        text="Followers see posts late. Add workers.",
        dashboard="fanout",
        stores=EVERY_STORE,
        labels={"job": "fanout", "level": "1"},
    ),
    Rule(
        name="FanoutLag",
        severity="ticket",
        source="scale §10.1 Level 2",
        expression=f"{_FANOUT_LAG} > 500000",
        hold_s=MINUTE,
        summary="Fan-out is {{ $value | humanize }} messages behind: level 2.",
        text="Lists of readers who were inactive for 24 h are no longer written.",
        dashboard="fanout",
        stores=EVERY_STORE,
        labels={"job": "fanout", "level": "2"},
    ),
    Rule(
        name="FanoutLag",
        severity="page",
        source="scale §10.1 Level 3",
        expression=f"{_FANOUT_LAG} > 1000000",
        hold_s=MINUTE,
        summary="Fan-out is {{ $value | humanize }} messages behind: level 3.",
        text="Nothing is pushed any longer. Each read pulls all followees, which loads the stores.",
        dashboard="fanout",
        stores=EVERY_STORE,
        labels={"job": "fanout", "level": "3"},
    ),
)

PHOTO = (
    Rule(
        name="SlowResponses",
        severity="ticket",
        source="photo Slow responses",
        expression=f"{_SLOW} > 0.5",
        hold_s=5 * MINUTE,
        summary="5 % of the requests to {{ $labels.route }} take {{ $value | humanizeDuration }} or more.",
        text="The users of one route wait for more than 500 ms.",
        dashboard="gateway",
        stores=EVERY_STORE,
    ),
    Rule(
        name="QueueBuildup",
        severity="ticket",
        source="photo Queue buildup",
        expression='consumer:lag_messages{group="media-worker"} > 100',
        hold_s=10 * MINUTE,
        summary="{{ $value | humanize }} uploads wait to be processed.",
        text="Pictures, and the posts that show them, appear late.",
        dashboard="media",
        stores=("cassandra", "kafka"),
    ),
    Rule(
        name="StorageFull",
        severity="page",
        source="photo Storage full",
        expression="max by (job) (feedmill_storage_used_bytes / feedmill_storage_capacity_bytes) > 0.9",
        hold_s=MINUTE,
        summary="The object store is {{ $value | humanizePercentage }} full.",
        text="Uploads fail when it is full. Images that exist are still shown.",
        dashboard="media",
    ),
    Rule(
        name="WorkerDown",
        severity="page",
        source="photo Worker down",
        expression=(
            "time() - max by (job, group) (last_over_time(feedmill_worker_heartbeat_time_seconds[15m])) > seconds(90s) "
            "or max by (job, group) (time() - feedmill_worker_heartbeat_time_seconds) > seconds(90s)"
        ),
        hold_s=30,  # with the 90 s above: no heartbeat for two minutes
        summary="The consumer {{ $labels.group }} of {{ $labels.job }} has had no heartbeat for two minutes.",
        text="Its events are not handled. Nothing is lost, but what they change is late.",
        dashboard="kafka",
    ),
)

PARTS = (
    Rule(
        name="GatewayDown",
        severity="page",
        source="SPEC §5 availability",
        expression="max(feedmill_gateway_up) == 0",
        hold_s=30,
        keep_s=HOLD_S,
        summary="The gateway does not answer.",
        text="Nobody can use Feedmill: this is a full outage.",
        dashboard="gateway",
        labels={"job": "gateway-metrics"},
    ),
    *(
        Rule(
            name="StoreAway",
            severity="page",
            source="own: a store is unavailable",
            expression=(
                f'max(feedmill_breaker_open{{dependency=~"{store}|{store}-.+"}}) == 1 '
                f'or min(feedmill_check_passed{{check="{store}"}}) == 0'
            ),
            hold_s=30,
            keep_s=HOLD_S,
            summary=f"{title} does not answer.",
            text=text,
            dashboard="stores",
            labels={"store": store},
        )
        for store, title, text in (
            ("cassandra", "Cassandra", "Writes of posts, likes, comments and media get 503, and so do most reads."),
            ("postgres", "PostgreSQL", "Registrations, sign-ins and follows get 503. Feeds work."),
            ("redis", "Redis", "Feeds are slower and degraded. Nobody can sign in, and no rate limit holds."),
        )
    ),
    Rule(
        name="StoreAway",
        severity="page",
        source="own: a store is unavailable",
        expression="max(feedmill_kafka_up) == 0",
        hold_s=30,
        keep_s=HOLD_S,
        summary="Kafka does not answer.",
        text="Users see no error, but followers see no new posts. After an hour, writes get 503.",
        dashboard="kafka",
        labels={"store": "kafka"},
    ),
    Rule(
        name="ProcessDown",
        severity="page",
        source="own: cause of an outage",
        expression="max by (job) (up) == 0",
        hold_s=MINUTE,
        keep_s=HOLD_S,
        summary="No process of {{ $labels.job }} answers.",
        text="Its routes get 503, or its events wait. Without the canary, lag and wrong feeds are not noticed.",
        dashboard="deployable-{{ $labels.job }}",
    ),
    Rule(
        name="ProcessDown",
        severity="ticket",
        source="own: cause of an outage",
        expression="up == 0",
        hold_s=5 * MINUTE,
        summary="The process {{ $labels.job }} at {{ $labels.instance }} does not answer.",
        text="Others may do its work.",
        dashboard="deployable-{{ $labels.job }}",
    ),
    *(
        Rule(
            name="ProcessAbsent",
            severity="page",
            source="own: what is absent",
            expression=f'absent(up{{job="{job}"}})',
            hold_s=MINUTE,
            summary="Prometheus has no target for {{ $labels.job }}.",
            text="Nobody would notice if it failed.",
            dashboard="deployable-{{ $labels.job }}",
            labels={"job": job},
        )
        for job in JOBS
    ),
    Rule(
        name="ConsumerStuck",
        severity="page",
        source="own: lag that does not move",
        expression=(
            "min_over_time(consumer:lag_messages[2m]) > 0 "
            "and on (group) max by (group) (increase(feedmill_consumer_committed_total[2m])) == 0 "
            "and on () min_over_time(feedmill_kafka_up[2m]) == 1"
        ),
        hold_s=MINUTE,
        floor_s=MINUTE,  # the canary asks Kafka each 15 s
        summary="{{ $value | humanize }} messages wait, and the group {{ $labels.group }} handles none.",
        text="What its events change is late, and becomes later: feeds, counts, or the state of media.",
        dashboard="kafka",
        stores=EVERY_STORE,
    ),
    Rule(
        name="OutboxWaiting",
        severity="ticket",
        source="docs/runbooks/events-waiting.md",
        expression="max by (job) (feedmill_outbox_oldest_seconds) > seconds(1m)",
        hold_s=2 * MINUTE,
        summary="Events of {{ $labels.job }} have waited for {{ $value | humanizeDuration }}.",
        text="Followers do not see the latest changes. After an hour, writes get 503.",
        dashboard="kafka",
        stores=("cassandra", "kafka", "postgres"),
    ),
    Rule(
        name="OutboxWaiting",
        severity="page",
        source="docs/runbooks/events-waiting.md",
        expression="max by (job) (feedmill_outbox_oldest_seconds) > seconds(5m)",
        hold_s=2 * MINUTE,
        summary="Events of {{ $labels.job }} have waited for {{ $value | humanizeDuration }}.",
        text="Followers do not see the latest changes. After an hour, writes get 503.",
        dashboard="kafka",
        stores=("cassandra", "kafka", "postgres"),
    ),
    Rule(
        name="DeadLetterWaits",
        severity="ticket",
        source="own: a dead letter waits",
        expression="max by (topic) (feedmill_dead_letters_waiting) > 0",
        hold_s=5 * MINUTE,
        summary="{{ $value }} dead letters of {{ $labels.topic }} wait.",
        text="Some group could not handle an event, so its effect is missing.",
        dashboard="kafka",
    ),
    Rule(
        name="CanaryBlind",
        severity="ticket",
        source="own: what is absent",
        expression="absent(feedmill_dead_letters_waiting) or absent(feedmill_consumer_lag_messages)",
        hold_s=5 * MINUTE,
        summary="The canary reports no dead letters or no lag.",
        text="Alerts about dead letters and about consumers can't fire.",
        dashboard="kafka",
        stores=("kafka",),
        labels={"job": "canary"},
    ),
    Rule(
        name="FeedWrong",
        severity="page",
        source="own: oracle verdicts",
        expression="sum by (fault) (increase(feedmill_oracle_faults_total[5m])) > 0",
        hold_s=0,
        summary="The canary found a feed with faults: {{ $labels.fault }}.",
        text="Readers see a wrong feed. `leaked` means that somebody saw a post that they must not see.",
        dashboard="feed",
    ),
    Rule(
        name="CountsDrift",
        severity="ticket",
        source="own: counter drift",
        expression="sum by (place) (increase(feedmill_reconcile_drift_total[1h])) > 0",
        hold_s=0,
        summary="Counts in {{ $labels.place }} were wrong.",
        text="The canary has corrected them. The cause is a bug.",
        dashboard="interactions",
    ),
    Rule(
        name="CanaryStale",
        severity="ticket",
        source="own: oracle verdicts",
        expression=(
            "time() - max(feedmill_oracle_last_clean_time_seconds) > seconds(15m) "
            'and on () max(feedmill_feed_active_readers{window="24h"}) > 0'
        ),
        hold_s=5 * MINUTE,
        summary="No feed was found right for more than 15 minutes.",
        text="Feeds may be wrong, or the canary can't check them.",
        dashboard="feed",
        stores=EVERY_STORE,
        labels={"job": "canary"},
    ),
    Rule(
        name="RateLimitsBlind",
        severity="ticket",
        source="own: RED per route",
        expression="sum by (job, redis) (increase(feedmill_rate_uncounted_total[5m])) > 10",
        hold_s=2 * MINUTE,
        summary="{{ $labels.job }} does not count requests, because Redis is {{ $labels.redis }}.",
        text="Rate limits do not hold, or hold only in each process.",
        dashboard="overview",
        stores=("redis",),
    ),
    Rule(
        name="MediaFailing",
        severity="ticket",
        source="own: media durations and errors",
        expression='increase(feedmill_media_processed_total{outcome="processing_failed"}[15m]) > 0',
        hold_s=0,
        summary="Uploads fail after four attempts, and not because of the picture.",
        text="Authors see `processing_failed`, and must upload the picture again.",
        dashboard="media",
    ),
    Rule(
        name="CheckFailing",
        severity="ticket",
        source="own: cause of an outage",
        expression="min by (job, check) (feedmill_check_passed) == 0",
        hold_s=5 * MINUTE,
        summary="{{ $labels.job }} is not ready: {{ $labels.check }}.",
        text="A load balancer sends it no requests.",
        dashboard="deployable-{{ $labels.job }}",
        stores=EVERY_STORE,
    ),
    Rule(
        name="GatewayLinesUnread",
        severity="ticket",
        source="own: the gateway exports RED per route",
        expression="increase(feedmill_gateway_lines_unread_total[15m]) > 0",
        hold_s=0,
        summary="Lines of the gateway's log are {{ $labels.why }}.",
        text="These requests are missing in the figures of the gateway, and so in the SLO.",
        dashboard="gateway",
    ),
    Rule(
        name="FanoutBackpressure",
        severity="info",
        source="scale §10.1",
        expression="max(feedmill_fanout_backpressure_level) >= 1",
        hold_s=MINUTE,
        summary="Fan-out does less work: level {{ $value }}.",
        text="Pages say so in `coverage.delivery`. The level falls by itself when the lag falls.",
        dashboard="fanout",
        labels={"job": "fanout"},
    ),
    Rule(
        name="BreakerOpen",
        severity="info",
        source="own: breaker states",
        expression="max by (job, dependency) (feedmill_breaker_open) == 1",
        hold_s=MINUTE,
        summary="{{ $labels.job }} does not call {{ $labels.dependency }}, which does not answer.",
        text="Calls fail at once. The breaker closes by itself when a probe is answered.",
        dashboard="stores",
        stores=EVERY_STORE,
    ),
    Rule(
        name="PoolFull",
        severity="info",
        source="own: pool use",
        expression="min_over_time(feedmill_pool_waiting[2m]) > 0",
        hold_s=2 * MINUTE,
        summary="Callers wait for {{ $labels.pool }} in {{ $labels.job }} all the time.",
        text="Requests wait for a slot. When the queue is full, they are refused.",
        dashboard="stores",
        stores=EVERY_STORE,
    ),
    Rule(
        name="HotKey",
        severity="info",
        source="scale §9.2 Hot Key Detection",
        expression="max by (key) (feedmill_hot_key_operations) > 1000",
        hold_s=0,
        summary="The Redis key {{ $labels.key }} gets {{ $value | humanize }} operations a second.",
        text="One key uses a large part of one Redis core.",
        dashboard="stores",
    ),
)

BURNS: tuple[tuple[Severity, float, str, str, int], ...] = (
    # severity, burn rate, long and short window, hold: the workbook's, so that a full outage fires within two minutes
    ("page", 14.4, "1h", "5m", 30),
    ("page", 6, "6h", "30m", 2 * MINUTE),
    ("ticket", 3, "1d", "2h", 15 * MINUTE),
    ("ticket", 1, "3d", "6h", 15 * MINUTE),
)

BURN_RULES = tuple(
    Rule(
        name=slo.alert,
        severity=severity,
        source=slo.source,
        expression=(
            f'(slo:failed_ratio:rate{long}{{slo="{slo.name}"}} > {rate} * {slo.budget} '
            f'and slo:failed_ratio:rate{short}{{slo="{slo.name}"}} > {rate} * {slo.budget}) '
            f'and slo:failed:rate{long}{{slo="{slo.name}"}} * seconds({long}) >= {FAILED_MINIMUM}'
        ),
        hold_s=hold_s,
        summary=f"{slo.what}: {{{{ $value | humanizePercentage }}}} in {long}, {rate:g} times what the SLO allows.",
        text=slo.text,
        dashboard="overview",
        stores=EVERY_STORE,
        labels={"window": long},
    )
    for slo in OBJECTIVES
    for severity, rate, long, short, hold_s in BURNS
)

# Nothing of last week: no alert. The minimum is 360 requests, or 10 sign-ups, in that hour.
_TRAFFIC = 'slo:requests:rate1h{slo="availability"}'
ANOMALIES = (
    Rule(
        name="TrafficDropped",
        severity="ticket",
        source="own: anomaly of traffic",
        expression=f"{_TRAFFIC} < 0.5 * ({_TRAFFIC} offset 1w > 0.1)",
        hold_s=15 * MINUTE,
        summary="There are {{ $value | humanize }} requests a second, less than half of the same hour last week.",
        text="Clients may not reach the gateway at all.",
        dashboard="overview",
    ),
    Rule(
        name="TrafficJumped",
        severity="info",
        source="own: anomaly of traffic",
        expression=f"{_TRAFFIC} > 3 * ({_TRAFFIC} offset 1w > 0.1)",
        hold_s=15 * MINUTE,
        summary="There are {{ $value | humanize }} requests a second, three times those of the same hour last week.",
        text="It may be an event, or an attack.",
        dashboard="overview",
    ),
    Rule(
        name="SignUpsDropped",
        severity="ticket",
        source="own: anomaly of sign-ups",
        expression="signups:increase1h < 0.3 * (signups:increase1h offset 1w >= 10)",
        hold_s=15 * MINUTE,
        summary="{{ $value | humanize }} people signed up, less than a third of the same hour last week.",
        text="Registration may be broken in a way that gives no 5xx.",
        dashboard="deployable-user",
        labels={"job": "user"},
    ),
    Rule(
        name="ErrorsUnusual",
        severity="ticket",
        source="own: anomaly of errors",
        expression=(
            'slo:failed_ratio:rate1h{slo="availability"} > 3 * slo:failed_ratio:rate1h{slo="availability"} offset 1w '
            f'and slo:failed:rate1h{{slo="availability"}} * seconds(1h) >= {5 * FAILED_MINIMUM}'
        ),
        hold_s=15 * MINUTE,
        summary="{{ $value | humanizePercentage }} of requests fail, three times the share of the same hour last week.",
        text="Something became worse, even if it is below the other limits.",
        dashboard="overview",
        stores=EVERY_STORE,
    ),
)

OWN = (
    Rule(
        name="PageNotAcknowledged",
        severity="escalation",
        source="own: a page that nobody acknowledged",
        # With the labels that inhibit the page itself, so that a page that nobody got does not escalate.
        expression='max by (page, stores, job, group) (ALERTS{alertstate="firing",severity="page"}) == 1',
        hold_s=15 * MINUTE,
        summary="{{ $labels.page }} has fired for 15 minutes, and nobody acknowledged it.",
        text="A silence on `page` acknowledges it.",
        dashboard="overview",
    ),
    Rule(
        name="Watchdog",
        severity="watchdog",
        source="own: dead man's switch",
        expression="vector(1)",
        hold_s=0,
        summary="Alerting works.",
        text="It always fires. What receives it raises an alarm when it stops.",
        dashboard="overview",
    ),
)

GROUPS: Mapping[str, tuple[Rule, ...]] = {
    "scale": SCALE,
    "photo": PHOTO,
    "parts": PARTS,
    "burn": BURN_RULES,
    "anomalies": ANOMALIES,
    "own": OWN,
}
RULES = tuple(rule for rules in GROUPS.values() for rule in rules)


def files(timing: Timing, environ: Mapping[str, str]) -> dict[str, str]:
    """The rules of Prometheus, path → text."""
    recorded = [
        {"record": one.name, "expr": timing.expression(one.expression), "labels": dict(one.labels)} for one in RECORDS
    ]
    groups = [{"name": "recorded", "rules": recorded}]
    groups += [
        {"name": name, "rules": [_rendered(rule, timing, environ) for rule in rules]} for name, rules in GROUPS.items()
    ]
    return {"prometheus/rules.yml": written({"groups": groups})}


def _rendered(rule: Rule, timing: Timing, environ: Mapping[str, str]) -> dict[str, Any]:
    keep = {"keep_firing_for": timing.duration(rule.keep_s)} if rule.keep_s else {}
    return {
        "alert": rule.name,
        "expr": timing.expression(rule.expression),
        "for": timing.duration(max(rule.hold_s, rule.floor_s * timing.factor)),
        **keep,
        "labels": rule.all_labels,
        "annotations": {
            "summary": rule.summary,
            "description": rule.text,
            "dashboard": f"/d/feedmill-{rule.dashboard}",
            "runbook_url": runbook_url(rule.name, environ),
        },
    }
