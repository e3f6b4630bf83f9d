"""Every metric of Feedmill, declared once. docs/metrics.md is generated from it.

Dashboards and alerts use these, and those of Prometheus and its client library. A name says its unit: `_seconds`,
`_time_seconds`, `_bytes`, `_messages`; counters end with `_total`. The process that exports a metric is the label `job`
of Prometheus. So no metric has a label for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
EVERY = ("*",)
ANY: tuple[str, ...] = ()
"""The values of a label that are not listed here, such as routes. A test bounds the number of series."""

# Seconds. Every figure of an objective or of an alert is a bucket, so that no quantile of it is interpolated.
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 3, 10)
QUERY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
AGE_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 600)
DECODING_BUCKETS = (0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2, 4, 8, 20, 30)
FOLLOWER_BUCKETS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)

_BOOL = ("true", "false")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """Declares one metric.

    Args:
        name: the base name; Prometheus adds `_bucket`, `_sum` and `_count` to that of a histogram.
        kind: of Prometheus.
        text: what it counts or measures, as a sentence.
        labels: label → its values. If all labels have listed values, each combination is exported from the start.
        buckets: upper bounds of a histogram.
        jobs: the deployables that export it; `EVERY` stands for all.
        event: for a metric without data on a healthy system: what has to happen first.
    """

    name: str
    kind: Kind
    text: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    jobs: tuple[str, ...] = EVERY
    event: str = ""


HTTP = (
    Metric(
        name="feedmill_http_request_seconds",
        kind="histogram",
        text="Time to answer a request, without waiting for its body, by route template.",
        labels={"method": ANY, "route": ANY, "status": ANY},
        buckets=REQUEST_BUCKETS,
    ),
    Metric(name="feedmill_http_requests_in_flight", kind="gauge", text="Requests that are being answered."),
    Metric(
        name="feedmill_http_refused_total",
        kind="counter",
        text="Requests refused before any work: no capacity, deadline passed, or events can't be published.",
    ),
    Metric(
        name="feedmill_requests_by_device_total",
        kind="counter",
        text="Public requests by X-Device-Type.",
        labels={"device": ("phone", "tablet", "desktop", "unknown")},
    ),
    Metric(
        name="feedmill_rate_limited_total",
        kind="counter",
        text="Requests refused by a rate limit.",
        labels={"limit": ANY},
        event="a caller exceeds a rate limit",
    ),
    Metric(
        name="feedmill_rate_uncounted_total",
        kind="counter",
        text="Requests that Redis did not count: `away`, no limit held; `slow`, the process counted alone.",
        labels={"redis": ("slow", "away")},
    ),
)

PROCESS = (
    Metric(
        name="feedmill_check_passed",
        kind="gauge",
        text="1 if the readiness check passed when it was last made, at most 7 s ago.",
        labels={"check": ANY},
    ),
)

DEPENDENCIES = (
    Metric(
        name="feedmill_breaker_open",
        kind="gauge",
        text="1 while the circuit breaker is open, so that calls fail at once.",
        labels={"dependency": ANY},
    ),
    Metric(
        name="feedmill_breaker_probes_total",
        kind="counter",
        text="Probes of a dependency after consecutive failures.",
        labels={"dependency": ANY, "answered": _BOOL},
        event="five calls to a dependency fail in a row",
    ),
    Metric(
        name="feedmill_dependency_refused_total",
        kind="counter",
        text="Calls that were not made: the breaker was open, or the budget for retries was spent.",
        labels={"dependency": ANY, "why": ("breaker", "budget")},
        event="a dependency is unavailable",
    ),
    Metric(
        name="feedmill_gate_refused_total",
        kind="counter",
        text="Requests for a slot of a pool that were refused: its caller's share, the queue, or the waiting time.",
        labels={"gate": ANY, "why": ("share", "queue", "wait")},
        event="a caller uses all of its share, or a pool is full",
    ),
    Metric(
        name="feedmill_dependency_second_tries_total",
        kind="counter",
        text="Retries and hedged calls.",
        labels={"dependency": ANY},
    ),
    Metric(
        name="feedmill_call_seconds",
        kind="histogram",
        text="Time of a call to another service, with its retries.",
        labels={"service": ANY, "outcome": ("answered", "failed")},
        buckets=REQUEST_BUCKETS,
    ),
    Metric(
        name="feedmill_query_seconds",
        kind="histogram",
        text="Time of a query, by store and statement.",
        labels={"store": ("cassandra", "postgres", "redis"), "statement": ANY},
        buckets=QUERY_BUCKETS,
    ),
    Metric(
        name="feedmill_pool_size",
        kind="gauge",
        text="Slots of a pool: connections, or calls in progress at the same time.",
        labels={"pool": ANY},
    ),
    Metric(name="feedmill_pool_in_use", kind="gauge", text="Slots of a pool that are in use.", labels={"pool": ANY}),
    Metric(name="feedmill_pool_waiting", kind="gauge", text="Callers that wait for a slot.", labels={"pool": ANY}),
    Metric(
        name="feedmill_cache_reads_total",
        kind="counter",
        text="Entries that were looked up in a cache.",
        labels={"cache": ANY, "outcome": ("hit", "miss")},
    ),
)

KAFKA = (
    Metric(
        name="feedmill_events_published_total",
        kind="counter",
        text="Events that the brokers confirmed: directly after their commit, or by the relay.",
        labels={"topic": ANY, "via": ("direct", "relay")},
    ),
    Metric(
        name="feedmill_events_handled_total",
        kind="counter",
        text="Events that a consumer has finished.",
        labels={"group": ANY, "topic": ANY, "outcome": ("done", "dead_letter")},
    ),
    Metric(
        name="feedmill_handler_retries_total",
        kind="counter",
        text="Batches repeated because a store or service was unavailable.",
        labels={"group": ANY},
    ),
    Metric(
        name="feedmill_event_age_seconds",
        kind="histogram",
        text="Age of an event when its handler has finished.",
        labels={"group": ANY, "topic": ANY},
        buckets=AGE_BUCKETS,
    ),
    Metric(
        name="feedmill_worker_heartbeat_time_seconds",
        kind="gauge",
        text="When the loop of a consumer last looked for events, as Unix time.",
        labels={"group": ANY},
    ),
    Metric(
        name="feedmill_outbox_waiting",
        kind="gauge",
        text="Events that wait for the relay; 0 in processes that do not relay.",
    ),
    Metric(name="feedmill_outbox_oldest_seconds", kind="gauge", text="How long the oldest waiting event has waited."),
    Metric(
        name="feedmill_consumer_lag_messages",
        kind="gauge",
        text="Messages that a consumer group has not committed: the depth of its queue.",
        labels={"group": ANY},
        jobs=("canary",),
    ),
    Metric(
        name="feedmill_consumer_committed_total",
        kind="counter",
        text="Offsets that a consumer group has committed, over all partitions: its progress.",
        labels={"group": ANY},
        jobs=("canary",),
    ),
    Metric(
        name="feedmill_kafka_up", kind="gauge", text="1 if the brokers answered the last question.", jobs=("canary",)
    ),
    Metric(
        name="feedmill_dead_letters_waiting",
        kind="gauge",
        text="Dead letters that were neither replayed nor dropped.",
        labels={"topic": ANY},
        jobs=("canary",),
    ),
)

USERS = (
    Metric(
        name="feedmill_user_sessions",
        kind="gauge",
        text="Sessions whose refresh token can still be used.",
        jobs=("user",),
    ),
)

FEED = (
    Metric(
        name="feedmill_feed_reads_total",
        kind="counter",
        text="Feed pages by order, cache status and quality.",
        labels={"order": ANY, "cache": ANY, "quality": ANY},
        jobs=("feed",),
    ),
    Metric(
        name="feedmill_feed_page_seconds",
        kind="histogram",
        text="Time to make a feed page, by cache status.",
        labels={"cache": ("hit", "miss", "stale")},
        buckets=REQUEST_BUCKETS,
        jobs=("feed",),
    ),
    Metric(
        name="feedmill_feed_active_readers",
        kind="gauge",
        text="Readers of a feed within the window, as estimated by HyperLogLog.",
        labels={"window": ("5m", "24h")},
        jobs=("feed",),
    ),
    Metric(
        name="feedmill_feed_pages_warmed_total",
        kind="counter",
        text="Cached first pages that were renewed before they expired.",
        jobs=("feed",),
    ),
    Metric(
        name="feedmill_feed_lists_warmed_total",
        kind="counter",
        text="Feed lists that were rebuilt after Redis had lost its data.",
        jobs=("feed",),
    ),
)

FANOUT = (
    Metric(
        name="feedmill_fanout_posts_total",
        kind="counter",
        text="Posts received, by mode of delivery.",
        labels={"mode": ("push", "slow", "pull", "skipped")},
        jobs=("fanout",),
    ),
    Metric(
        name="feedmill_fanout_deliveries_total",
        kind="counter",
        text="Feed entries written; a repeated delivery writes none.",
        jobs=("fanout",),
    ),
    Metric(
        name="feedmill_fanout_removals_total",
        kind="counter",
        text="Feed entries of deleted posts that were removed.",
        jobs=("fanout",),
    ),
    Metric(
        name="feedmill_fanout_skipped_total",
        kind="counter",
        text="Skipped because of backpressure, by its level: lists of inactive readers, posts, deletes.",
        labels={"level": ("0", "1", "2", "3"), "what": ("list", "post", "delete")},
        jobs=("fanout",),
    ),
    Metric(
        name="feedmill_fanout_seconds",
        kind="histogram",
        text="From the creation of a post until it is in the lists of all followers, or of a chunk of them, by lane.",
        labels={"lane": ("push", "slow")},
        buckets=AGE_BUCKETS,
        jobs=("fanout",),
    ),
    Metric(
        name="feedmill_fanout_followers",
        kind="histogram",
        text="Followers of authors whose posts are pushed.",
        buckets=FOLLOWER_BUCKETS,
        jobs=("fanout",),
    ),
    Metric(
        name="feedmill_fanout_lag_messages",
        kind="gauge",
        text="Messages that the fan-out groups have not committed, as the backpressure sees them.",
        jobs=("fanout",),
    ),
    Metric(
        name="feedmill_fanout_backpressure_level",
        kind="gauge",
        text="0 normal, 1 behind, 2 active readers only, 3 pull for all.",
        jobs=("fanout",),
    ),
)

COUNTERS = (
    Metric(
        name="feedmill_counters_memberships_total",
        kind="counter",
        text="Memberships that changed a count.",
        labels={"kind": ("like", "comment", "save", "view", "comment_like")},
        jobs=("counters",),
    ),
)

MEDIA = (
    Metric(
        name="feedmill_media_processed_total",
        kind="counter",
        text="Processed uploads: `processed`, or the reason of the failure.",
        labels={
            "outcome": (
                "processed",
                "not_an_image",
                "too_many_pixels",
                "too_complex",
                "unsupported_encoding",
                "corrupt",
                "too_many_waiting",
                "processing_failed",
            )
        },
        jobs=("media-worker",),
    ),
    Metric(
        name="feedmill_media_retries_total",
        kind="counter",
        text="Attempts that failed for a reason that is not the picture.",
        jobs=("media-worker",),
    ),
    Metric(
        name="feedmill_media_processing_seconds",
        kind="histogram",
        text="Time of one attempt to process an upload, without waiting for its turn, by type of the file.",
        labels={"type": ("jpeg", "png", "webp", "other")},
        buckets=DECODING_BUCKETS,
        jobs=("media-worker",),
    ),
    Metric(
        name="feedmill_storage_used_bytes",
        kind="gauge",
        text="Bytes that are in use where the objects are stored.",
        jobs=("media",),
    ),
    Metric(
        name="feedmill_storage_capacity_bytes",
        kind="gauge",
        text="Bytes that fit where the objects are stored.",
        jobs=("media",),
    ),
)

CANARY = (
    Metric(
        name="feedmill_oracle_feeds_total",
        kind="counter",
        text="Feeds that were recomputed and compared.",
        labels={"outcome": ("clean", "faulty", "skipped")},
        jobs=("canary",),
    ),
    Metric(
        name="feedmill_oracle_faults_total",
        kind="counter",
        text="Items of feeds that were wrong.",
        labels={"fault": ("missing", "extra", "leaked", "repeated", "misordered")},
        jobs=("canary",),
    ),
    Metric(
        name="feedmill_oracle_last_clean_time_seconds",
        kind="gauge",
        text="When a feed was last found right, as Unix time.",
        jobs=("canary",),
    ),
    Metric(
        name="feedmill_reconcile_users_total",
        kind="counter",
        text="Users whose counts, and those of their posts, were compared.",
        labels={"outcome": ("clean", "drifted", "skipped")},
        jobs=("canary",),
    ),
    Metric(
        name="feedmill_reconcile_drift_total",
        kind="counter",
        text="Counts that were found wrong, by the place where they are stored.",
        labels={"place": ("ledger", "cache", "post", "user", "authored")},
        jobs=("canary",),
    ),
    Metric(
        name="feedmill_hot_key_operations",
        kind="gauge",
        text="Operations per second on a Redis key with more than 1,000, estimated from 1 % of all. It stays for 1 h.",
        labels={"key": ANY},
        jobs=("canary",),
        event="a Redis key gets more than 1,000 operations per second",
    ),
)

GATEWAY = (
    Metric(
        name="feedmill_gateway_request_seconds",
        kind="histogram",
        text="Time until the gateway has sent an answer, by route of the gateway.",
        labels={"method": ANY, "route": ANY, "status": ANY},
        buckets=REQUEST_BUCKETS,
        jobs=("gateway-metrics",),
    ),
    Metric(
        name="feedmill_gateway_upstream_seconds",
        kind="histogram",
        text="Time that the gateway waited for services: without the client's upload, with the wait before a service.",
        labels={"method": ANY, "route": ANY},
        buckets=REQUEST_BUCKETS,
        jobs=("gateway-metrics",),
    ),
    Metric(
        name="feedmill_gateway_cache_total",
        kind="counter",
        text="Answers of the media cache, by kind of file. A revalidated file is a hit, an expired one is a miss.",
        labels={
            "kind": ("original", "large", "medium", "small", "thumbnail", "other"),
            "outcome": ("hit", "miss", "stale"),
        },
        jobs=("gateway-metrics",),
    ),
    Metric(
        name="feedmill_gateway_connections",
        kind="gauge",
        text="Connections of clients.",
        labels={"state": ("reading", "writing", "waiting")},
        jobs=("gateway-metrics",),
    ),
    Metric(
        name="feedmill_gateway_accepted_connections_total",
        kind="counter",
        text="Connections that the gateway accepted, and those that it then handled.",
        labels={"outcome": ("accepted", "handled")},
        jobs=("gateway-metrics",),
    ),
    Metric(
        name="feedmill_gateway_up",
        kind="gauge",
        text="1 if nginx answered when its connections were last counted.",
        jobs=("gateway-metrics",),
    ),
    Metric(
        name="feedmill_gateway_lines_unread_total",
        kind="counter",
        text="Lines of the gateway's log that are in no figure: not parsed, or dropped because the buffer was full.",
        labels={"why": ("unparsed", "dropped")},
        jobs=("gateway-metrics",),
    ),
)

AREAS: Mapping[str, tuple[Metric, ...]] = {
    "HTTP servers": HTTP,
    "Processes": PROCESS,
    "Stores, services, pools and caches": DEPENDENCIES,
    "Kafka": KAFKA,
    "Users": USERS,
    "Feeds": FEED,
    "Fan-out": FANOUT,
    "Counts": COUNTERS,
    "Media": MEDIA,
    "Canary": CANARY,
    "Gateway": GATEWAY,
}
"""Heading of docs/metrics.md → metrics."""
METRICS = tuple(chain.from_iterable(AREAS.values()))
BY_NAME: Mapping[str, Metric] = {one.name: one for one in METRICS}
